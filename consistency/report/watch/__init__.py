"""The report of a watched training: a `WatchRecord` in, a report's content out."""
