"""The receiver: events over HTTP into Kafka, acknowledged when Kafka has them."""
