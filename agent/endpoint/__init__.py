"""A distilled model over HTTP: texts in as JSON, labels out, what comes while the model works is the next batch."""
