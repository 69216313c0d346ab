"""What OpenTelemetry is told of a call: names by the GenAI conventions, and the span and the metrics that bear them."""
