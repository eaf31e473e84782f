"""The records: one door in (`enrol`), one door out (`disclose`)."""
