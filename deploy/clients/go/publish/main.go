// Clicks from standard input, one a line: go run ./publish localhost:9092 interest.clicks < clicks.jsonl
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	client, err := kgo.NewClient( // its partitioner is murmur2, as in Java, unless told otherwise
		kgo.SeedBrokers(os.Args[1]),
		kgo.DefaultProduceTopic(os.Args[2]),
	)
	check(err)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		click := struct {
			User string `json:"user_id"`
		}{}
		check(json.Unmarshal(lines.Bytes(), &click))
		record := &kgo.Record{Key: []byte(click.User), Value: bytes.Clone(lines.Bytes())}
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(context.Background()))
	client.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
