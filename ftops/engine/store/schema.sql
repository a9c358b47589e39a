-- The engine's database, version 6. Times are seconds since 1970; *_json columns hold JSON text.
-- `seq` is the order of creation: rows made in the same second keep their order.

CREATE TABLE IF NOT EXISTS files (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,      -- also the name of its file in files/
    owner      TEXT NOT NULL DEFAULT 'local',  -- who alone sees it: the name of a key
    filename   TEXT NOT NULL,             -- as the client said; never a path
    purpose    TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    status     TEXT NOT NULL DEFAULT 'processed',   -- uploaded: not looked at yet; error: see below
    status_details TEXT                   -- what is wrong with it, with the line
);
CREATE INDEX IF NOT EXISTS files_by_owner ON files (owner, seq);
CREATE INDEX IF NOT EXISTS files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS uploads (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,     -- also the name of the folder with its parts in uploads/
    owner       TEXT NOT NULL DEFAULT 'local',
    status      TEXT NOT NULL,            -- pending, completed, cancelled, expired
    filename    TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    mime_type   TEXT NOT NULL,
    bytes       INTEGER NOT NULL,         -- as announced
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    file_life_s INTEGER,                  -- how long the finished file shall live
    file_id     TEXT                      -- what it became
);
CREATE INDEX IF NOT EXISTS uploads_by_status ON uploads (status, expires_at);

CREATE TABLE IF NOT EXISTS upload_parts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,      -- a file of its own has this name
    upload_id  TEXT NOT NULL REFERENCES uploads (id),
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    place      INTEGER                    -- of its first byte in the file; null: a file of its own
);
CREATE INDEX IF NOT EXISTS upload_parts_by_upload ON upload_parts (upload_id, seq);

CREATE TABLE IF NOT EXISTS jobs (
    seq                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    owner                TEXT NOT NULL DEFAULT 'local',
    status               TEXT NOT NULL,   -- see TRANSITIONS in jobs.py
    model                TEXT NOT NULL,   -- as asked for: a base model or a fine-tuned one
    base                 TEXT NOT NULL,   -- the base model underneath
    training_file        TEXT NOT NULL,
    validation_file      TEXT,
    suffix               TEXT,
    seed                 INTEGER NOT NULL,
    metadata_json        TEXT NOT NULL,
    hyperparameters_json TEXT NOT NULL,   -- as asked for
    method               TEXT NOT NULL DEFAULT 'supervised',   -- or dpo
    resolved_json        TEXT,            -- what "auto" turned out to be
    created_at           INTEGER NOT NULL,
    estimated_finish     INTEGER,
    finished_at          INTEGER,
    fine_tuned_model     TEXT,
    result_file          TEXT,
    trained_tokens       INTEGER,
    error_code           TEXT,
    error_message        TEXT,
    error_param          TEXT,
    worker_pid           INTEGER,
    deaths               INTEGER NOT NULL DEFAULT 0,  -- workers of this job that died by themselves
    updated_at           INTEGER NOT NULL DEFAULT 0,  -- of its latest event
    idempotency_key      TEXT,            -- as the client sent it; unique for each owner
    request_sha256       TEXT,            -- of the request that came with that key
    turn                 INTEGER          -- counts the workers of all jobs; of its last one
);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, seq);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, seq);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_idempotency_key ON jobs (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (owner, turn);

CREATE TABLE IF NOT EXISTS events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    job_id     TEXT NOT NULL REFERENCES jobs (id),
    key        TEXT NOT NULL,             -- what happened, e.g. `step:12`: a repeated step adds nothing
    created_at INTEGER NOT NULL,
    level      TEXT NOT NULL,
    message    TEXT NOT NULL,
    type       TEXT NOT NULL,
    data_json  TEXT NOT NULL,
    UNIQUE (job_id, key)
);
CREATE INDEX IF NOT EXISTS events_by_job ON events (job_id, seq);

CREATE TABLE IF NOT EXISTS models (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    owner      TEXT NOT NULL DEFAULT 'local',  -- the job's
    job_id     TEXT NOT NULL REFERENCES jobs (id),   -- also the name of its folder in models/
    base       TEXT NOT NULL,
    parent     TEXT NOT NULL,             -- what it was tuned from: the base or another of these
    created_at INTEGER NOT NULL,
    step       INTEGER,                   -- of a checkpoint; NULL: the finished model
    metrics_json TEXT NOT NULL DEFAULT '{}',   -- of a checkpoint
    deleted_at INTEGER                    -- its folder may stay for a while: a job may be reading it
);
CREATE INDEX IF NOT EXISTS models_by_job ON models (job_id, seq);
CREATE INDEX IF NOT EXISTS models_by_owner ON models (owner, seq);

CREATE TABLE IF NOT EXISTS keys (
    name         TEXT PRIMARY KEY,        -- also the owner of what is made with it
    sha256       TEXT NOT NULL,           -- of the key, in hex; the key itself is kept nowhere
    hint         TEXT NOT NULL,           -- how it begins
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
);
