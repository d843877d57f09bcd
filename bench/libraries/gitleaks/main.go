// gitleaks as a program: {"id", "text"} lines in, {"id", "values"} lines out. All default rules; what is encoded is decoded.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
)

type text struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

type value struct {
	Value string `json:"value"`
	Kind  string `json:"kind"`
}

type answer struct {
	ID     string  `json:"id"`
	Values []value `json:"values"`
}

// found is the secret as it stands in the text: of an encoded one, the line's part that the finding covers.
func found(text string, one report.Finding) string {
	if strings.Contains(text, one.Secret) || one.StartLine != one.EndLine {
		return one.Secret
	}
	line := one.Line
	from, to := one.StartColumn-1, one.EndColumn
	if from < 0 || to > len(line) || from >= to {
		return one.Secret
	}
	return line[from:to]
}

func main() {
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		log.Fatal(err)
	}
	detector.MaxDecodeDepth = 5
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		var given text
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			log.Fatal(err)
		}
		said := answer{ID: given.ID, Values: []value{}}
		for _, one := range detector.DetectString(given.Text) {
			said.Values = append(said.Values, value{found(given.Text, one), one.RuleID})
		}
		line, err := json.Marshal(said)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
