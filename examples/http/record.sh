#!/bin/sh
# An event over HTTP, with curl. The token says tenant and source; source_event_id makes a repetition the same event.
set -eu
: "${AUDITWIRE_INGEST_URL:?the receiver, such as http://127.0.0.1:8080}" "${AUDITWIRE_INGEST_TOKEN:?see docs/receiver.md}"

# --retry repeats 503 and 408 after the time in Retry-After, and connections that fail; 202 means that Kafka has the event.
curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 30 \
  "$AUDITWIRE_INGEST_URL/v1/events" \
  --header "Authorization: Bearer $AUDITWIRE_INGEST_TOKEN" \
  --header "Content-Type: application/json" \
  --data @- <<EOF
{
  "source_event_id": "${1:-curl-1}",
  "event_type": "tool.invoked",
  "occurred_at": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "agent_id": "shell-agent",
  "session_id": "curl",
  "tool_name": "search_orders"
}
EOF
