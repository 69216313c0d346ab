"""The SDK's own work, done in less time: the same bytes on the wire, equal objects back, or the SDK's way."""
