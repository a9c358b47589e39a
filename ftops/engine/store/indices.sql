-- What lists and looks would otherwise search whole tables for. Made after all columns are there.

CREATE INDEX IF NOT EXISTS files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS uploads_by_status ON uploads (status, expires_at);
CREATE INDEX IF NOT EXISTS upload_parts_by_upload ON upload_parts (upload_id, seq);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, seq);
CREATE INDEX IF NOT EXISTS events_by_job ON events (job_id, seq);
CREATE INDEX IF NOT EXISTS models_by_job ON models (job_id, seq)
