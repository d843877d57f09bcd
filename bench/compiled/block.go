package main

import (
	"fmt"
	"math"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kgo"
)

// column takes values of one column of the table. What a type has no use for stays nil: the schema decides what is called.
type column struct {
	data   proto.ColInput
	text   func([]byte)
	long   func(int64)
	double func(float64)
	null   func()
	truth  func(bool)
	pair   func(key, value []byte)
	end    func()
}

// block is one insert: whole columns, and the last record of each partition. It is used again after the insert.
type block struct {
	columns []column
	input   proto.Input
	last    map[int32]*kgo.Record
	rows    int
}

type definition struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func newBlock(table []definition) (*block, error) {
	made := &block{last: make(map[int32]*kgo.Record)}
	for _, one := range table {
		found, err := newColumn(one.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", one.Name, err)
		}
		made.columns = append(made.columns, found)
		made.input = append(made.input, proto.InputColumn{Name: one.Name, Data: found.data})
	}
	return made, nil
}

func (b *block) reset() {
	b.input.Reset()
	clear(b.last)
	b.rows = 0
}

func (b *block) Text(i int, value []byte)      { b.columns[i].text(value) }
func (b *block) Long(i int, value int64)       { b.columns[i].long(value) }
func (b *block) Double(i int, value float64)   { b.columns[i].double(value) }
func (b *block) Bool(i int, value bool)        { b.columns[i].truth(value) }
func (b *block) Null(i int)                    { b.columns[i].null() }
func (b *block) Item(i int, value []byte)      { b.columns[i].text(value) }
func (b *block) Pair(i int, key, value []byte) { b.columns[i].pair(key, value) }
func (b *block) EndList(i int)                 { b.columns[i].end() }

func newColumn(kind string) (column, error) {
	switch kind {
	case "String":
		c := new(proto.ColStr)
		return column{data: c, text: c.AppendBytes}, nil
	case "LowCardinality(String)":
		c := newDictionary()
		return column{data: c, text: c.append}, nil
	case "Bool":
		c := new(proto.ColBool)
		return column{data: c, truth: c.Append}, nil
	case "DateTime64(6, 'UTC')":
		c := newTimes()
		return column{data: c, long: func(v int64) { c.AppendRaw(proto.DateTime64(v)) }}, nil
	case "Nullable(DateTime64(6, 'UTC'))":
		c := newTimes()
		data := proto.NewColNullable[time.Time](c)
		set := func(v int64) { c.AppendRaw(proto.DateTime64(v)); data.Nulls.Append(0) }
		null := func() { c.AppendRaw(0); data.Nulls.Append(1) }
		return column{data: data, long: set, null: null}, nil
	case "Nullable(Int64)":
		c := new(proto.ColInt64)
		data := proto.NewColNullable[int64](c)
		set := func(v int64) { c.Append(v); data.Nulls.Append(0) }
		null := func() { c.Append(0); data.Nulls.Append(1) }
		return column{data: data, long: set, null: null}, nil
	case "Nullable(Float64)":
		c := new(proto.ColFloat64)
		data := proto.NewColNullable[float64](c)
		set := func(v float64) { c.Append(v); data.Nulls.Append(0) }
		null := func() { c.Append(0); data.Nulls.Append(1) }
		return column{data: data, double: set, null: null}, nil
	case "Array(String)":
		c := new(proto.ColStr)
		data := proto.NewArray[string](c)
		return column{data: data, text: c.AppendBytes, end: func() { data.Offsets.Append(uint64(c.Rows())) }}, nil
	case "Array(Tuple(key String, value String))":
		c := new(pairs)
		return column{data: c, pair: c.append, end: c.end}, nil
	}
	return column{}, fmt.Errorf("type %s is not known here", kind)
}

func newTimes() *proto.ColDateTime64 {
	return new(proto.ColDateTime64).WithPrecision(proto.PrecisionMicro).WithLocation(time.UTC)
}

// dictionary is LowCardinality(String) without an allocation for each value, as proto.ColLowCardinality has it.
type dictionary struct {
	proto.ColLowCardinalityRaw
	values *proto.ColStr
	places map[string]uint32
}

func newDictionary() *dictionary {
	values := new(proto.ColStr)
	raw := proto.ColLowCardinalityRaw{Index: values, Key: proto.KeyUInt32}
	return &dictionary{raw, values, make(map[string]uint32)}
}

func (d *dictionary) append(value []byte) {
	place, ok := d.places[string(value)]
	if !ok {
		place = uint32(len(d.places))
		d.places[string(value)] = place
		d.values.AppendBytes(value)
	}
	d.Keys32 = append(d.Keys32, place)
}

// Prepare takes the smallest keys that do; the client calls it before it sends the column.
func (d *dictionary) Prepare() error {
	if len(d.places) > math.MaxUint8+1 {
		return nil
	}
	d.Key = proto.KeyUInt8
	for _, place := range d.Keys32 {
		d.Keys8 = append(d.Keys8, uint8(place))
	}
	return nil
}

func (d *dictionary) Reset() {
	d.ColLowCardinalityRaw.Reset()
	d.Key = proto.KeyUInt32
	clear(d.places)
}

// pairs is Array(Tuple(key String, value String)).
type pairs struct {
	ends         proto.ColUInt64
	keys, values proto.ColStr
}

func (p *pairs) append(key, value []byte) {
	p.keys.AppendBytes(key)
	p.values.AppendBytes(value)
}

func (p *pairs) end() { p.ends.Append(uint64(p.keys.Rows())) }

func (p *pairs) Type() proto.ColumnType { return "Array(Tuple(key String, value String))" }

func (p *pairs) Rows() int { return p.ends.Rows() }

func (p *pairs) Reset() {
	p.ends.Reset()
	p.keys.Reset()
	p.values.Reset()
}

func (p *pairs) EncodeColumn(b *proto.Buffer) {
	p.ends.EncodeColumn(b)
	p.keys.EncodeColumn(b)
	p.values.EncodeColumn(b)
}

func (p *pairs) WriteColumn(w *proto.Writer) {
	p.ends.WriteColumn(w)
	p.keys.WriteColumn(w)
	p.values.WriteColumn(w)
}
