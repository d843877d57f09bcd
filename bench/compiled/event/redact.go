package event

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
)

// Rule is a detector as bench.compiled hands it over: patterns in RE2's syntax, replacements with ${1}.
type Rule struct {
	Name        string   `json:"name"`
	Pattern     string   `json:"pattern"`
	Replacement string   `json:"replacement"`
	Keep        []string `json:"keep"`
	Personal    bool     `json:"personal"`
}

// Rules say what is masked where.
type Rules struct {
	Detectors []Rule   `json:"detectors"`
	Untouched []string `json:"untouched"` // columns
	Content   []string `json:"content"`   // columns from which personal findings go too
}

type mask uint8

const (
	nothing mask = iota
	secrets
	everything
)

func (m mask) ofKeys() mask {
	return min(m, secrets)
}

type detector struct {
	pattern     *regexp.Regexp
	replacement []byte
	keep        []*regexp.Regexp
}

// Redactor replaces what the detectors find. One pass over a text tells which of them can find something at all.
type Redactor struct {
	rules     Rules
	detectors []detector
	personal  uint32
	always    uint32 // detectors without words
	words     *search
}

var keptAt = []byte("${1}\x00${2}")

// NewRedactor compiles the rules. With plain there is no search for words: every pattern runs over every text.
func NewRedactor(rules Rules, plain bool) (*Redactor, error) {
	if len(rules.Detectors) > 32 {
		return nil, fmt.Errorf("%d detectors do not fit in 32 bits", len(rules.Detectors))
	}
	made := &Redactor{rules: rules}
	found := make(map[string]uint32)
	for i, rule := range rules.Detectors {
		pattern, err := regexp.Compile(rule.Pattern)
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", rule.Name, err)
		}
		one := detector{pattern: pattern, replacement: []byte(rule.Replacement)}
		for _, keep := range rule.Keep {
			compiled, err := regexp.Compile(keep)
			if err != nil {
				return nil, fmt.Errorf("detector %s, what it keeps: %w", rule.Name, err)
			}
			one.keep = append(one.keep, compiled)
		}
		made.detectors = append(made.detectors, one)
		if rule.Personal {
			made.personal |= 1 << i
		}
		if plain || len(words[rule.Name]) == 0 {
			made.always |= 1 << i
		}
		for _, word := range words[rule.Name] {
			found[word] |= 1 << i
		}
	}
	if !plain {
		made.words = newSearch(found)
	}
	return made, nil
}

func (r *Redactor) maskOf(column string) mask {
	switch {
	case slices.Contains(r.rules.Untouched, column):
		return nothing
	case slices.Contains(r.rules.Content, column):
		return everything
	}
	return secrets
}

// apply gives the text itself where nothing was found; it is never written to.
func (r *Redactor) apply(text []byte, how mask) []byte {
	if how == nothing || len(text) == 0 {
		return text
	}
	suspects := r.suspects(text, how)
	for i := 0; suspects>>i != 0; i++ {
		if suspects>>i&1 == 0 {
			continue
		}
		if masked := r.detectors[i].apply(text); !bytes.Equal(masked, text) {
			text = masked
			suspects |= r.suspects(text, how)
		}
	}
	return text
}

func (r *Redactor) suspects(text []byte, how mask) uint32 {
	found := r.always
	if r.words != nil {
		found |= r.words.in(text)
	}
	if how == secrets {
		found &^= r.personal
	}
	return found
}

func (d *detector) apply(text []byte) []byte {
	for _, keep := range d.keep {
		text = keep.ReplaceAll(text, keptAt)
	}
	text = d.pattern.ReplaceAll(text, d.replacement)
	if len(d.keep) > 0 {
		text = bytes.ReplaceAll(text, []byte{0}, []byte{'@'})
	}
	return text
}
