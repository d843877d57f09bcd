// Events over HTTP from Go, standard library only. 202 means that Kafka has all of them.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

type event map[string]any

type answer struct {
	Accepted int    `json:"accepted"`
	Error    string `json:"error"`
	WhatToDo string `json:"what_to_do"`
}

var client = http.Client{Timeout: 30 * time.Second}

// record sends the same body until it is acknowledged: source_event_id makes it the same events.
func record(url, token string, events []event) (int, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return 0, err
	}
	wait := time.Second / 2
	for attempt := 1; attempt <= 6; attempt++ {
		request, err := http.NewRequest(http.MethodPost, url+"/v1/events", bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		if response, err := client.Do(request); err == nil {
			var said answer
			err = json.NewDecoder(response.Body).Decode(&said)
			response.Body.Close()
			if response.StatusCode == http.StatusAccepted && err == nil {
				return said.Accepted, nil
			}
			if response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusRequestTimeout {
				return 0, fmt.Errorf("%s %s", said.Error, said.WhatToDo) // sending it again would not help
			}
			if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
				wait = time.Duration(seconds) * time.Second
			}
		}
		time.Sleep(wait)
		wait *= 2
	}
	return 0, fmt.Errorf("not acknowledged: keep the events and send them later")
}

func main() {
	url, token := os.Getenv("AUDITWIRE_INGEST_URL"), os.Getenv("AUDITWIRE_INGEST_TOKEN")
	if url == "" || token == "" {
		fmt.Fprintln(os.Stderr, "set AUDITWIRE_INGEST_URL and AUDITWIRE_INGEST_TOKEN (docs/receiver.md)")
		os.Exit(1)
	}
	name := "go-1"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	accepted, err := record(url, token, []event{{
		"source_event_id": name,
		"event_type":      "tool.invoked",
		"occurred_at":     time.Now().UTC().Format(time.RFC3339Nano),
		"agent_id":        "go-agent",
		"session_id":      "go",
		"tool_name":       "search_orders",
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("accepted", accepted)
}
