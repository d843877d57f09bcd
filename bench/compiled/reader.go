package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"auditwire/bench/compiled/event"
)

// reader decodes records in Confluent wire format, each with the schema that its id names in the registry.
type reader struct {
	columns  []string
	redactor *event.Redactor
	decoders map[uint32]*event.Decoder
	last     *event.Decoder
	id       uint32
}

func newReader(t *task) (*reader, error) {
	redactor, err := event.NewRedactor(t.Rules, t.Plain)
	made := &reader{redactor: redactor, decoders: make(map[uint32]*event.Decoder)}
	for _, one := range t.Types {
		made.columns = append(made.columns, one.Name)
	}
	return made, err
}

func (r *reader) read(ctx context.Context, value []byte, to event.Columns) error {
	if len(value) < 5 || value[0] != 0 {
		return fmt.Errorf("not in Confluent wire format")
	}
	if id := binary.BigEndian.Uint32(value[1:]); r.last == nil || id != r.id {
		found, err := r.decoder(ctx, id)
		if err != nil {
			return err
		}
		r.last, r.id = found, id
	}
	return r.last.Decode(value[5:], to)
}

func (r *reader) decoder(ctx context.Context, id uint32) (*event.Decoder, error) {
	if known := r.decoders[id]; known != nil {
		return known, nil
	}
	url := fmt.Sprintf("%s/schemas/ids/%d", os.Getenv("AUDITWIRE_SCHEMA_REGISTRY_URL"), id)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var found struct {
		Schema string `json:"schema"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("schema %d: the registry answered %s (%w)", id, answer.Status, err)
	}
	made, err := event.NewDecoder([]byte(found.Schema), r.columns, r.redactor)
	r.decoders[id] = made
	return made, err
}
