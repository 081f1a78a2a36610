import java.io.BufferedOutputStream;
import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The client of tests/clients/records.py on Kafka's own library; the same source for every version of it.
 *      Client dump BOOTSTRAP TOPIC...            only reads: "read TOPIC RECORD" for each record
 *      Client create BOOTSTRAP TOPIC...          only creates
 *      Client steadily BOOTSTRAP PREFIX          creates one topic after another until a line comes: "created MS" or an error
 *      Client append BOOTSTRAP RECORDS TOPIC...  only produces, idempotently, with lz4: "append TOPIC FIRST LAST" */
class Client {
    static final PrintStream OUT = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)));
    static final int GROUP = 8;
    static final long[] OFFSETS = {1, 17, 39};
    static final long T0 = 1_700_000_000_000L;
    static final long[] TIMES = {T0 - 5, T0, T0 + 9_001, T0 + 20_000, T0 + 38_500, T0 + 10_000_000};

    interface Check { void run(String name) throws Exception; }

    final String bootstrap;
    final KafkaConsumer<byte[], byte[]> consumer;

    Client(String bootstrap) {
        Properties p = new Properties();
        this.bootstrap = bootstrap;
        p.put("bootstrap.servers", bootstrap);
        p.put("fetch.max.wait.ms", "50");
        p.put("auto.offset.reset", "none");
        p.put("enable.auto.commit", "false");
        consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static void say(Object... fields) {
        StringBuilder s = new StringBuilder();
        for (Object f : fields)
            s.append(s.length() == 0 ? "" : "\t").append(f);
        OUT.println(s);
    }

    static void guarded(String name, Check check) {
        try {
            check.run(name);
        } catch (Exception e) {
            say(name, "ERROR", e.toString().replace('\n', ' '));
        }
    }

    static String text(byte[] b) {
        if (b == null)
            return "-";
        StringBuilder s = new StringBuilder();
        for (byte x : b)
            s.append(String.format("%02x", x));
        return s.toString();
    }

    static byte[] raw(String s) {
        if (s.equals("-"))
            return null;
        byte[] out = new byte[s.length() / 2];
        for (int i = 0; i < out.length; i++)
            out[i] = (byte) Integer.parseInt(s.substring(2 * i, 2 * i + 2), 16);
        return out;
    }

    static String line(ConsumerRecord<byte[], byte[]> r) {
        StringBuilder s = new StringBuilder();
        s.append(r.offset()).append('\t').append(r.timestamp()).append('\t').append(text(r.key())).append('\t');
        s.append(text(r.value())).append('\t');
        String comma = "";
        for (Header h : r.headers()) {
            s.append(comma).append(h.key()).append('=').append(text(h.value()));
            comma = ",";
        }
        return s.toString();
    }

    static ProducerRecord<byte[], byte[]> record(String topic, String line) {
        String[] f = line.split("\t", -1);
        List<Header> headers = new ArrayList<>();
        for (String h : f[3].isEmpty() ? new String[0] : f[3].split(",")) {
            String[] pair = h.split("=", -1);
            headers.add(new RecordHeader(pair[0], raw(pair[1])));
        }
        return new ProducerRecord<>(topic, 0, Long.parseLong(f[0]), raw(f[1]), raw(f[2]), headers);
    }

    void create(String name, List<String> topics) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        try (AdminClient admin = AdminClient.create(p)) {
            List<NewTopic> list = new ArrayList<>();
            for (String t : topics)
                list.add(new NewTopic(t, 1, (short) 1).configs(Collections.singletonMap("retention.ms", "-1")));
            admin.createTopics(list).all().get();
        }
        Collections.sort(topics);
        for (String t : topics)
            say(name, t);
    }

    void produce(String name, String codec, String topic, boolean idempotent, List<String> lines) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("compression.type", codec);
        p.put("enable.idempotence", Boolean.toString(idempotent));
        p.put("acks", "all");
        p.put("linger.ms", "1000");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < lines.size(); i++) {
                sent.add(producer.send(record(topic, lines.get(i))));
                if (i % GROUP == GROUP - 1)
                    producer.flush();
            }
            producer.flush();
        }
        say(name, sent.get(0).get().offset(), sent.get(sent.size() - 1).get().offset());
    }

    void read(String fields, String topic, long from) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        long end = consumer.endOffsets(Collections.singleton(tp)).get(tp), at = from;
        long deadline = System.currentTimeMillis() + 30_000;
        consumer.assign(Collections.singleton(tp));
        consumer.seek(tp, from);
        while (at < end) {
            if (System.currentTimeMillis() > deadline)
                throw new Exception("stuck at " + at + " of " + end);
            for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500))) {
                say(fields, line(r));
                at = r.offset() + 1;
            }
        }
        consumer.assign(Collections.<TopicPartition>emptyList());
    }

    void times(String name, String topic) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        for (long t : TIMES) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Collections.singletonMap(tp, t)).get(tp);
            if (found == null) {
                say(name, t, "none");
                continue;
            }
            say(name, t, found.offset(), found.timestamp());
            read(name + "\t" + t, topic, found.offset());
        }
    }

    void ends(String name, String topic) {
        TopicPartition tp = new TopicPartition(topic, 0);
        say(name, consumer.beginningOffsets(Collections.singleton(tp)).get(tp),
            consumer.endOffsets(Collections.singleton(tp)).get(tp));
    }

    void all(String prefix, String[] codecs, List<String> lines) {
        List<String> topics = new ArrayList<>();
        for (String c : codecs)
            Collections.addAll(topics, prefix + "-" + c, prefix + "-idem-" + c);
        guarded("create", name -> create(name, topics));
        for (String c : codecs) {
            String topic = prefix + "-" + c, idem = prefix + "-idem-" + c;
            guarded("produce-" + c, name -> produce(name, c, topic, false, lines));
            guarded("idem-" + c, name -> produce(name, c, idem, true, lines));
            guarded("read-" + c, name -> read(name, topic, 0));
            guarded("read-idem-" + c, name -> read(name, idem, 0));
            guarded("offset-" + c, name -> {
                for (long from : OFFSETS)
                    read(name + "\t" + from, topic, from);
            });
            guarded("time-" + c, name -> times(name, topic));
            guarded("ends-" + c, name -> ends(name, topic));
        }
    }

    void steadily(String prefix) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        try (AdminClient admin = AdminClient.create(p)) {
            for (int i = 0; System.in.available() == 0; i++) {
                NewTopic topic = new NewTopic(prefix + "-" + i, 1, (short) 1);
                long began = System.nanoTime();
                try {
                    admin.createTopics(Collections.singleton(topic)).all().get();
                    OUT.println("created " + (System.nanoTime() - began) / 1_000_000);
                } catch (Exception e) {
                    OUT.println("ERROR " + topic.name() + ": " + e);
                }
                Thread.sleep(5);
            }
        }
    }

    void some(String what, List<String> args) throws Exception {
        if (what.equals("steadily")) {
            steadily(args.get(0));
            return;
        }
        if (what.equals("create")) {
            guarded("create", name -> create(name, args));
            return;
        }
        List<String> lines = what.equals("append") ? Files.readAllLines(Paths.get(args.remove(0))) : null;
        for (String topic : args) {
            if (lines == null)
                guarded("read\t" + topic, name -> read(name, topic, 0));
            else
                guarded("append\t" + topic, name -> produce(name, "lz4", topic, true, lines));
        }
    }

    public static void main(String[] args) throws Exception {
        List<String> rest = new ArrayList<>(Arrays.asList(args));
        boolean some = Arrays.asList("dump", "create", "steadily", "append").contains(args[0]);
        String what = some ? rest.remove(0) : null;
        Client c = new Client(rest.remove(0));
        if (some)
            c.some(what, rest);
        else
            c.all(rest.get(0), rest.get(1).split(","), Files.readAllLines(Paths.get(rest.get(2))));
        c.consumer.close();
        OUT.flush();
        System.exit(0);
    }
}
