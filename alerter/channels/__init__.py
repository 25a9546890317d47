"""Where people hear of anomalies; each file is one kind of channel, thin over its service's library."""
