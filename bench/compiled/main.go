// Command compiled is the same work as `bench.naive consumer` the way one would write it in Go: Kafka to ClickHouse, texts masked.
//
// At least once: offsets are committed after the insert. No transactions, deduplication, ledger, fence or read-back, and an event
// that does not decode ends it. `bench.compiled` builds it and hands over the task; it prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"auditwire/bench/compiled/event"
)

type task struct {
	Events int          `json:"events"`
	Rows   int          `json:"rows"` // an insert
	Plain  bool         `json:"plain"`
	Group  string       `json:"group"`
	Topic  string       `json:"topic"`
	Table  string       `json:"table"`
	Types  []definition `json:"columns"`
	Rules  event.Rules  `json:"rules"`
}

type worker struct {
	task   task
	kafka  *kgo.Client
	stores *ch.Client
	reader *reader
	free   chan *block // two: one is filled while the other is on its way
	full   chan *block
	meter  meter
}

func main() {
	path := flag.String("task", "", "file with the task, as bench/compiled.py writes it")
	flag.Parse()
	if err := run(context.Background(), *path); err != nil {
		fmt.Fprintln(os.Stderr, "compiled:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string) error {
	w, err := newWorker(ctx, path)
	if err != nil {
		return err
	}
	defer w.kafka.Close()
	defer w.stores.Close()
	stored := make(chan error, 1)
	go func() { stored <- w.store(ctx) }()
	if err := w.consume(ctx, stored); err != nil {
		return err
	}
	return w.meter.report()
}

func newWorker(ctx context.Context, path string) (*worker, error) {
	w := &worker{free: make(chan *block, 2), full: make(chan *block, 2), meter: meter{began: time.Now()}}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &w.task); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if w.reader, err = newReader(&w.task); err != nil {
		return nil, err
	}
	for range cap(w.free) {
		made, err := newBlock(w.task.Types)
		if err != nil {
			return nil, err
		}
		w.free <- made
	}
	if w.stores, err = ch.Dial(ctx, ch.Options{
		Address:     os.Getenv("AUDITWIRE_CLICKHOUSE_NATIVE"),
		Database:    os.Getenv("AUDITWIRE_NAMESPACE"),
		User:        os.Getenv("AUDITWIRE_ADMIN_CLICKHOUSE_USER"),
		Password:    os.Getenv("AUDITWIRE_ADMIN_CLICKHOUSE_PASSWORD"),
		ReadTimeout: time.Minute,
	}); err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	user := scram.Auth{User: os.Getenv("AUDITWIRE_ADMIN_KAFKA_USERNAME"), Pass: os.Getenv("AUDITWIRE_ADMIN_KAFKA_PASSWORD")}
	w.kafka, err = kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("AUDITWIRE_KAFKA_BOOTSTRAP")),
		kgo.SASL(user.AsSha512Mechanism()),
		kgo.ConsumerGroup(w.task.Group),
		kgo.ConsumeTopics(w.task.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(4<<20),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		return nil, fmt.Errorf("Kafka: %w", err)
	}
	return w, nil
}

// consume fills blocks until all events were read, then waits for the last one to be stored.
func (w *worker) consume(ctx context.Context, stored <-chan error) error {
	current, seen := <-w.free, 0
	for seen < w.task.Events {
		fetches := w.kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("Kafka: %w", err)
		}
		for iter := fetches.RecordIter(); !iter.Done() && seen < w.task.Events; {
			record := iter.Next()
			if err := w.reader.read(ctx, record.Value, current); err != nil {
				return fmt.Errorf("partition %d, offset %d: %w", record.Partition, record.Offset, err)
			}
			current.last[record.Partition] = record
			current.rows++
			seen++
			if current.rows < w.task.Rows && seen < w.task.Events {
				continue
			}
			w.full <- current
			select {
			case current = <-w.free:
			case err := <-stored:
				return err
			}
		}
	}
	close(w.full)
	return <-stored
}

// store inserts each full block, commits what it held and gives it back.
func (w *worker) store(ctx context.Context) error {
	for full := range w.full {
		if err := w.stores.Do(ctx, ch.Query{Body: full.input.Into(w.task.Table), Input: full.input}); err != nil {
			return fmt.Errorf("ClickHouse: %w", err)
		}
		if err := w.kafka.CommitRecords(ctx, slices.Collect(maps.Values(full.last))...); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		w.meter.add(full.rows, w.task.Events)
		full.reset()
		w.free <- full
	}
	return nil
}
