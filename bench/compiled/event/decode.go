// Package event decodes audit events straight into columns and masks what must not be stored. Standard library only.
package event

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Columns takes the values of one event after the other; column is the place of a field in the table. Bytes are only lent.
type Columns interface {
	Text(column int, value []byte)
	Long(column int, value int64)
	Double(column int, value float64)
	Bool(column int, value bool)
	Null(column int)
	Item(column int, value []byte)
	Pair(column int, key, value []byte)
	EndList(column int)
}

type kind int

const (
	text kind = iota
	long
	double
	boolean
	texts
	pairs
)

type field struct {
	kind   kind
	null   int64 // branch of the union that is null; -1 where the field is no union
	mask   mask
	column int
}

// Decoder knows how one writer's schema maps to the table.
type Decoder struct {
	fields   []field
	redactor *Redactor
}

// ErrMalformed says that a body is not of its schema.
var ErrMalformed = errors.New("the body is not of its schema")

// NewDecoder reads an Avro schema. Every column of the table must be a field of it, and the other way round.
func NewDecoder(schema []byte, columns []string, redactor *Redactor) (*Decoder, error) {
	var record struct {
		Fields []struct {
			Name string          `json:"name"`
			Type json.RawMessage `json:"type"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(schema, &record); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if len(record.Fields) != len(columns) {
		return nil, fmt.Errorf("the schema has %d fields, the table %d columns", len(record.Fields), len(columns))
	}
	places := make(map[string]int, len(columns))
	for i, name := range columns {
		places[name] = i
	}
	made := &Decoder{redactor: redactor}
	for _, one := range record.Fields {
		column, ok := places[one.Name]
		if !ok {
			return nil, fmt.Errorf("field %s has no column", one.Name)
		}
		found, err := fieldOf(one.Type)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", one.Name, err)
		}
		found.column, found.mask = column, redactor.maskOf(one.Name)
		made.fields = append(made.fields, found)
	}
	return made, nil
}

func fieldOf(raw json.RawMessage) (field, error) {
	var branches []json.RawMessage
	if json.Unmarshal(raw, &branches) == nil {
		for i, branch := range branches {
			if string(branch) == `"null"` && len(branches) == 2 {
				kind, err := kindOf(branches[1-i])
				return field{kind: kind, null: int64(i)}, err
			}
		}
		return field{}, fmt.Errorf("no union of null and one type: %s", raw)
	}
	kind, err := kindOf(raw)
	return field{kind: kind, null: -1}, err
}

func kindOf(raw json.RawMessage) (kind, error) {
	var name string
	var full struct {
		Type  string          `json:"type"`
		Items json.RawMessage `json:"items"`
	}
	if json.Unmarshal(raw, &name) != nil {
		if err := json.Unmarshal(raw, &full); err != nil {
			return 0, err
		}
		name = full.Type
	}
	switch {
	case name == "string":
		return text, nil
	case name == "long":
		return long, nil
	case name == "double":
		return double, nil
	case name == "boolean":
		return boolean, nil
	case name == "array" && string(full.Items) == `"string"`:
		return texts, nil
	case name == "array":
		return pairs, nil // the event schema has one other list, of records {key, value}
	}
	return 0, fmt.Errorf("type %s is not expected", raw)
}

// Decode hands the fields of one body to the columns, texts masked. After an error the columns hold half an event.
func (d *Decoder) Decode(body []byte, to Columns) error {
	r := reader{rest: body}
	for i := range d.fields {
		f := &d.fields[i]
		if f.null >= 0 {
			branch := r.long()
			if branch == f.null {
				to.Null(f.column)
				continue
			}
			if branch != 1-f.null {
				return ErrMalformed
			}
		}
		switch f.kind {
		case text:
			to.Text(f.column, d.redactor.apply(r.text(), f.mask))
		case long:
			to.Long(f.column, r.long())
		case double:
			to.Double(f.column, r.double())
		case boolean:
			to.Bool(f.column, r.byte() != 0)
		default:
			d.list(&r, f, to)
		}
		if r.bad {
			return ErrMalformed
		}
	}
	if r.bad || len(r.rest) > 0 {
		return ErrMalformed
	}
	return nil
}

func (d *Decoder) list(r *reader, f *field, to Columns) {
	for !r.bad {
		count := r.long()
		if count == 0 {
			break
		}
		if count < 0 {
			count = -count
			r.long() // bytes of the block
		}
		for ; count > 0 && !r.bad; count-- {
			if f.kind == texts {
				to.Item(f.column, d.redactor.apply(r.text(), f.mask))
				continue
			}
			key := d.redactor.apply(r.text(), f.mask.ofKeys())
			to.Pair(f.column, key, d.redactor.apply(r.text(), f.mask))
		}
	}
	to.EndList(f.column)
}

// reader walks over a body; after the first thing that does not fit everything is zero and bad is set.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() {
	r.rest, r.bad = nil, true
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	value := r.rest[0]
	r.rest = r.rest[1:]
	return value
}

func (r *reader) long() int64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // most are lengths of short texts
		short := r.rest[0]
		r.rest = r.rest[1:]
		return int64(short>>1) ^ -int64(short&1)
	}
	value, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return value
}

func (r *reader) double() float64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	value := math.Float64frombits(binary.LittleEndian.Uint64(r.rest))
	r.rest = r.rest[8:]
	return value
}

func (r *reader) text() []byte {
	n := r.long()
	if n < 0 || n > int64(len(r.rest)) {
		r.fail()
		return nil
	}
	value := r.rest[:n:n]
	r.rest = r.rest[n:]
	return value
}
