'use strict';
/* The client (tests/clients/records.py) on kafkajs. It consumes only in groups, so it creates, produces and lists
 * offsets, and another client reads what it wrote. Its codecs come from elsewhere, gzip apart. */
const fs = require('fs');
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs');
const snappy = require('snappyjs');
const lz4 = require('lz4-napi');
const { ZstdCodec } = require('zstd-codec');

const GROUP = 8;
const T0 = 1700000000000;
const TIMES = [T0 - 5, T0, T0 + 9001, T0 + 20000, T0 + 38500, T0 + 10000000];
const TYPES = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
    lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD };

const say = (...fields) => console.log(fields.join('\t'));
const raw = (s) => (s === '-' ? null : Buffer.from(s, 'hex'));

async function guarded(check, run) {
    try {
        await run(check);
    } catch (e) {
        say(check, 'ERROR', String(e).replace(/\n/g, ' '));
    }
}

function load(path) {
    return fs.readFileSync(path, 'utf8').split('\n').filter((s) => s).map((s) => {
        const [timestamp, key, value, all] = s.split('\t');
        const headers = {};
        for (const h of all ? all.split(',') : []) {
            const [name, hex] = h.split('=');
            const v = raw(hex) || Buffer.alloc(0); /* it has no null here */
            headers[name] = name in headers ? [].concat(headers[name], v) : v;
        }
        return { timestamp, key: raw(key), value: raw(value), headers, partition: 0 };
    });
}

function codec(compress, decompress) {
    return () => ({ compress: async (encoder) => Buffer.from(compress(encoder.buffer)),
        decompress: async (buffer) => Buffer.from(decompress(buffer)) });
}

async function main(bootstrap, prefix, codecs, path) {
    const simple = await new Promise((done) => ZstdCodec.run((zstd) => done(new zstd.Simple())));
    CompressionCodecs[CompressionTypes.Snappy] = codec((b) => snappy.compress(b), (b) => snappy.uncompress(b));
    CompressionCodecs[CompressionTypes.LZ4] = codec((b) => lz4.compressFrameSync(b), (b) => lz4.decompressFrameSync(b));
    CompressionCodecs[CompressionTypes.ZSTD] = codec((b) => simple.compress(b), (b) => simple.decompress(b));

    const records = load(path);
    const kafka = new Kafka({ clientId: 'interop', brokers: [bootstrap], logLevel: logLevel.ERROR });
    const admin = kafka.admin();
    const names = codecs.split(',');

    async function produce(check, type, topic, idempotent) {
        const producer = kafka.producer({ idempotent, maxInFlightRequests: 1 });
        const offsets = [];
        await producer.connect();
        for (let i = 0; i < records.length; i += GROUP) {
            const [sent] = await producer.send({ topic, acks: -1, compression: TYPES[type],
                messages: records.slice(i, i + GROUP) });
            offsets.push(Number(sent.baseOffset));
        }
        await producer.disconnect();
        say(check, offsets[0], offsets[offsets.length - 1] + GROUP - 1);
    }

    await admin.connect();
    await guarded('create', async (check) => {
        const topics = names.flatMap((c) => [`${prefix}-${c}`, `${prefix}-idem-${c}`]).sort();
        await admin.createTopics({ waitForLeaders: true, topics: topics.map((topic) => ({ topic, numPartitions: 1,
            replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '-1' }] })) });
        topics.forEach((t) => say(check, t));
    });
    for (const c of names) {
        const topic = `${prefix}-${c}`;
        await guarded(`produce-${c}`, (check) => produce(check, c, topic, false));
        await guarded(`idem-${c}`, (check) => produce(check, c, `${prefix}-idem-${c}`, true));
        await guarded(`time-${c}`, async (check) => {
            for (const t of TIMES) {
                const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, t);
                say(check, t, found.offset);
            }
        });
        await guarded(`ends-${c}`, async (check) => {
            const [ends] = await admin.fetchTopicOffsets(topic);
            say(check, ends.low, ends.high);
        });
    }
    await admin.disconnect();
}

main(...process.argv.slice(2)).then(
    () => process.exit(0), /* zstd-codec would keep it alive */
    (e) => {
        console.error(e);
        process.exit(1);
    });
