// Events over HTTP from Node, standard library only. 202 means that Kafka has all of them.
const url = process.env.AUDITWIRE_INGEST_URL, token = process.env.AUDITWIRE_INGEST_TOKEN;
if (!url || !token) {
  console.error("set AUDITWIRE_INGEST_URL and AUDITWIRE_INGEST_TOKEN (docs/receiver.md)");
  process.exit(1);
}

// The same body is sent again until it is acknowledged: source_event_id makes it the same events.
async function record(events, tries = 6) {
  const body = JSON.stringify(events);
  for (let attempt = 1; ; attempt++) {
    let seconds = 2 ** attempt / 4;
    try {
      const answer = await fetch(`${url}/v1/events`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body,
        signal: AbortSignal.timeout(30_000),
      });
      const said = await answer.json();
      if (answer.status === 202) return said;
      if (answer.status !== 503 && answer.status !== 408) throw new Refused(`${said.error} ${said.what_to_do}`);
      seconds = Number(answer.headers.get("retry-after")) || seconds;
    } catch (error) {
      if (error instanceof Refused || attempt === tries) throw error;
    }
    if (attempt === tries) throw new Error(`not acknowledged after ${tries} tries: keep the events and send them later`);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

class Refused extends Error {} // sending it again would not help

const common = { occurred_at: new Date().toISOString(), agent_id: "node-agent", session_id: "node" };
const name = process.argv[2] ?? "node-1";
const events = [
  { ...common, source_event_id: `${name}/call`, event_type: "tool.invoked", tool_name: "search_orders" },
  { ...common, source_event_id: `${name}/result`, event_type: "tool.responded", tool_name: "search_orders", outcome: "success" },
];
console.log(await record(events).catch((error) => { console.error(error.message); process.exit(1); }));
