package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// figures are what so many events took: CPU and wall seconds.
type figures struct {
	Events  int     `json:"events"`
	CPU     float64 `json:"cpu"`
	Seconds float64 `json:"seconds"`
}

// meter measures the whole process, and what it takes after the first fifth of the events.
type meter struct {
	began  time.Time
	stored int
	warm   figures // what was used up to there
}

// add notes that so many more of all events are stored.
func (m *meter) add(rows, all int) {
	m.stored += rows
	if m.warm.Events == 0 && m.stored*5 >= all && m.stored < all {
		m.warm = figures{m.stored, cpu(), time.Since(m.began).Seconds()}
	}
}

// report prints one line of JSON.
func (m *meter) report() error {
	peak, err := peakMB()
	if err != nil {
		return err
	}
	whole := figures{m.stored, cpu(), time.Since(m.began).Seconds()}
	said := struct {
		figures
		Peak int      `json:"peak_mb"`
		Warm *figures `json:"warm"`
	}{figures: whole, Peak: peak}
	if m.warm.Events > 0 {
		said.Warm = &figures{whole.Events - m.warm.Events, whole.CPU - m.warm.CPU, whole.Seconds - m.warm.Seconds}
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// peakMB is the most memory that this process had resident. Linux's ru_maxrss would be that of the process which started it.
func peakMB() (int, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int
	_, err = fmt.Sscan(rest, &kilobytes)
	return kilobytes >> 10, err
}

// cpu is what this process has used since it began, in seconds.
func cpu() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
