// The client on franz-go.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/client"
)

type franz struct {
	bootstrap string
	admin     *kadm.Client
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func (f *franz) Create(topics []string) error {
	ctx, cancel := limit()
	defer cancel()
	never := "-1"
	got, err := f.admin.CreateTopics(ctx, 1, 1, map[string]*string{"retention.ms": &never}, topics...)
	if err != nil {
		return err
	}
	return got.Error()
}

func (f *franz) Produce(codec, topic string, idempotent bool, records []client.Record) (first, last int64, err error) {
	ctx, cancel := limit()
	defer cancel()
	options := []kgo.Opt{kgo.SeedBrokers(f.bootstrap), kgo.ProducerBatchCompression(codecs[codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing()}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	c, err := kgo.NewClient(options...)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	first = -1
	for i, r := range records {
		k := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Time)}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		c.Produce(ctx, k, func(k *kgo.Record, e error) {
			if e != nil {
				err = e
			}
			if first < 0 {
				first = k.Offset
			}
			last = k.Offset
		})
		if i%client.Group == client.Group-1 {
			if e := c.Flush(ctx); e != nil {
				return 0, 0, e
			}
		}
	}
	if e := c.Flush(ctx); e != nil {
		return 0, 0, e
	}
	return first, last, err
}

func (f *franz) Read(topic string, from int64, each func(int64, client.Record)) error {
	ctx, cancel := limit()
	defer cancel()
	_, next, err := f.Ends(topic)
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(f.bootstrap), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	if err != nil {
		return err
	}
	defer c.Close()
	for at := from; at < next; {
		got := c.PollFetches(ctx)
		if e := got.Err(); e != nil {
			return e
		}
		got.EachRecord(func(k *kgo.Record) {
			r := client.Record{Time: k.Timestamp.UnixMilli(), Key: k.Key, Value: k.Value}
			for _, h := range k.Headers {
				r.Headers = append(r.Headers, client.Header{Name: h.Key, Value: h.Value})
			}
			each(k.Offset, r)
			at = k.Offset + 1
		})
	}
	return nil
}

func (f *franz) At(topic string, when int64) (string, error) {
	ctx, cancel := limit()
	defer cancel()
	got, err := f.admin.ListOffsetsAfterMilli(ctx, when, topic)
	if err != nil {
		return "", err
	}
	o, _ := got.Lookup(topic, 0)
	return fmt.Sprintf("%d\t%d", o.Offset, o.Timestamp), o.Err
}

func (f *franz) Ends(topic string) (first, next int64, err error) {
	ctx, cancel := limit()
	defer cancel()
	starts, err := f.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	ends, err := f.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	a, _ := starts.Lookup(topic, 0)
	b, _ := ends.Lookup(topic, 0)
	if a.Err != nil {
		return 0, 0, a.Err
	}
	return a.Offset, b.Offset, b.Err
}

func main() {
	c, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	if err != nil {
		panic(err)
	}
	client.Run(&franz{os.Args[1], kadm.NewClient(c)}, os.Args[2], os.Args[3], os.Args[4])
}
