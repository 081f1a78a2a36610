// Package client is what the Go clients of tests/clients/records.py have in common.
package client

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const Group = 8

var Offsets = []int64{1, 17, 39}

const t0 = int64(1_700_000_000_000)

var Times = []int64{t0 - 5, t0, t0 + 9_001, t0 + 20_000, t0 + 38_500, t0 + 10_000_000}

type Header struct {
	Name  string
	Value []byte
}

type Record struct {
	Time       int64
	Key, Value []byte // nil where null
	Headers    []Header
}

// Library is one client library. Read stops at the topic's end.
type Library interface {
	Create(topics []string) error
	Produce(codec, topic string, idempotent bool, records []Record) (first, last int64, err error)
	Read(topic string, from int64, each func(offset int64, r Record)) error
	At(topic string, when int64) (string, error)
	Ends(topic string) (first, next int64, err error)
}

func raw(s string) []byte {
	if s == "-" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func text(b []byte) string {
	if b == nil {
		return "-"
	}
	return hex.EncodeToString(b)
}

func load(path string) []Record {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	var out []Record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s := strings.Split(lines.Text(), "\t")
		when, err := strconv.ParseInt(s[0], 10, 64)
		if err != nil {
			panic(err)
		}
		r := Record{Time: when, Key: raw(s[1]), Value: raw(s[2])}
		if s[3] != "" {
			for _, h := range strings.Split(s[3], ",") {
				name, value, _ := strings.Cut(h, "=")
				r.Headers = append(r.Headers, Header{name, raw(value)})
			}
		}
		out = append(out, r)
	}
	return out
}

func line(offset int64, r Record) string {
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, h.Name+"="+text(h.Value))
	}
	return fmt.Sprintf("%d\t%d\t%s\t%s\t%s", offset, r.Time, text(r.Key), text(r.Value), strings.Join(headers, ","))
}

func check(name string, err error) {
	if err != nil {
		fmt.Printf("%s\tERROR\t%s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

func produce(l Library, name, codec, topic string, idempotent bool, records []Record) error {
	first, last, err := l.Produce(codec, topic, idempotent, records)
	if err == nil {
		fmt.Printf("%s\t%d\t%d\n", name, first, last)
	}
	return err
}

func read(l Library, fields, topic string, from int64) error {
	return l.Read(topic, from, func(offset int64, r Record) { fmt.Printf("%s\t%s\n", fields, line(offset, r)) })
}

func offsets(l Library, name, topic string) error {
	for _, from := range Offsets {
		if err := read(l, fmt.Sprintf("%s\t%d", name, from), topic, from); err != nil {
			return err
		}
	}
	return nil
}

func times(l Library, name, topic string) error {
	for _, when := range Times {
		found, err := l.At(topic, when)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%d\t%s\n", name, when, found)
	}
	return nil
}

func ends(l Library, name, topic string) error {
	first, next, err := l.Ends(topic)
	if err == nil {
		fmt.Printf("%s\t%d\t%d\n", name, first, next)
	}
	return err
}

// Run is the whole client.
func Run(l Library, prefix, codecs, path string) {
	records := load(path)
	var topics []string
	for _, c := range strings.Split(codecs, ",") {
		topics = append(topics, prefix+"-"+c, prefix+"-idem-"+c)
	}
	if err := l.Create(topics); err != nil {
		check("create", err)
	} else {
		for _, t := range topics {
			fmt.Printf("create\t%s\n", t)
		}
	}
	for _, c := range strings.Split(codecs, ",") {
		topic, idem := prefix+"-"+c, prefix+"-idem-"+c
		check("produce-"+c, produce(l, "produce-"+c, c, topic, false, records))
		check("idem-"+c, produce(l, "idem-"+c, c, idem, true, records))
		check("read-"+c, read(l, "read-"+c, topic, 0))
		check("read-idem-"+c, read(l, "read-idem-"+c, idem, 0))
		check("offset-"+c, offsets(l, "offset-"+c, topic))
		check("time-"+c, times(l, "time-"+c, topic))
		check("ends-"+c, ends(l, "ends-"+c, topic))
	}
}
