// The client on sarama.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"

	"weir/interop/client"
)

type library struct {
	bootstrap []string
	client    sarama.Client
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	return c
}

func (l *library) Create(topics []string) error {
	admin, err := sarama.NewClusterAdmin(l.bootstrap, config())
	if err != nil {
		return err
	}
	defer admin.Close()
	never := "-1"
	for _, t := range topics {
		detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1,
			ConfigEntries: map[string]*string{"retention.ms": &never}}
		if err := admin.CreateTopic(t, detail, false); err != nil {
			return err
		}
	}
	return nil
}

func encoder(b []byte) sarama.Encoder {
	if b == nil {
		return nil
	}
	return sarama.ByteEncoder(b)
}

func (l *library) Produce(codec, topic string, idempotent bool, records []client.Record) (first, last int64, err error) {
	c := config()
	c.Producer.Compression = codecs[codec]
	c.Producer.Flush.Messages = client.Group
	if idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	p, err := sarama.NewSyncProducer(l.bootstrap, c)
	if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	var sent []*sarama.ProducerMessage
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Key: encoder(r.Key), Value: encoder(r.Value),
			Timestamp: time.UnixMilli(r.Time)}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
		sent = append(sent, m)
		if i%client.Group == client.Group-1 {
			if err := p.SendMessages(sent[i+1-client.Group:]); err != nil {
				return 0, 0, err
			}
		}
	}
	return sent[0].Offset, sent[len(sent)-1].Offset, nil
}

func (l *library) Read(topic string, from int64, each func(int64, client.Record)) error {
	_, next, err := l.Ends(topic)
	if err != nil {
		return err
	}
	c, err := sarama.NewConsumerFromClient(l.client)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.ConsumePartition(topic, 0, from)
	if err != nil {
		return err
	}
	defer p.Close()
	late := time.After(30 * time.Second)
	for at := from; at < next; {
		select {
		case m := <-p.Messages():
			r := client.Record{Time: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, client.Header{Name: string(h.Key), Value: h.Value})
			}
			each(m.Offset, r)
			at = m.Offset + 1
		case <-late:
			return fmt.Errorf("stuck at %d of %d", at, next)
		}
	}
	return nil
}

func (l *library) At(topic string, when int64) (string, error) {
	offset, err := l.client.GetOffset(topic, 0, when)
	return fmt.Sprintf("%d\t-", offset), err
}

func (l *library) Ends(topic string) (first, next int64, err error) {
	if first, err = l.client.GetOffset(topic, 0, sarama.OffsetOldest); err != nil {
		return 0, 0, err
	}
	next, err = l.client.GetOffset(topic, 0, sarama.OffsetNewest)
	return first, next, err
}

func main() {
	bootstrap := []string{os.Args[1]}
	c, err := sarama.NewClient(bootstrap, config())
	if err != nil {
		panic(err)
	}
	client.Run(&library{bootstrap, c}, os.Args[2], os.Args[3], os.Args[4])
}
