// Command show prints Avro bodies, one a line in hex, as JSON objects with the texts masked: for tests. Standard library only.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"auditwire/bench/compiled/event"
)

// object collects one event.
type object struct {
	names  []string
	values map[string]any
	list   []any
}

func (o *object) Text(i int, v []byte)    { o.values[o.names[i]] = string(v) }
func (o *object) Long(i int, v int64)     { o.values[o.names[i]] = v }
func (o *object) Double(i int, v float64) { o.values[o.names[i]] = v }
func (o *object) Bool(i int, v bool)      { o.values[o.names[i]] = v }
func (o *object) Null(i int)              { o.values[o.names[i]] = nil }
func (o *object) Item(_ int, v []byte)    { o.list = append(o.list, string(v)) }
func (o *object) Pair(_ int, k, v []byte) {
	o.list = append(o.list, map[string]string{"key": string(k), "value": string(v)})
}
func (o *object) EndList(i int) { o.values[o.names[i]], o.list = o.list, []any{} }

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
}

func run(schemaPath, taskPath string) error {
	var task struct {
		Plain   bool `json:"plain"`
		Columns []struct {
			Name string `json:"name"`
		} `json:"columns"`
		Rules event.Rules `json:"rules"`
	}
	text, err := os.ReadFile(taskPath)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &task); err != nil {
		return err
	}
	schema, err := os.ReadFile(schemaPath)
	if err != nil {
		return err
	}
	redactor, err := event.NewRedactor(task.Rules, task.Plain)
	if err != nil {
		return err
	}
	shown := &object{list: []any{}}
	for _, column := range task.Columns {
		shown.names = append(shown.names, column.Name)
	}
	decoder, err := event.NewDecoder(schema, shown.names, redactor)
	if err != nil {
		return err
	}
	return show(decoder, shown)
}

func show(decoder *event.Decoder, shown *object) error {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		body, err := hex.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		shown.values = make(map[string]any)
		if err := decoder.Decode(body, shown); err != nil {
			return err
		}
		if err := out.Encode(shown.values); err != nil {
			return err
		}
	}
	return lines.Err()
}
