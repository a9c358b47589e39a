-- The engine's database. Times are seconds since 1970; *_json columns hold JSON text.
-- `seq` is the order of creation: rows created in the same second keep their order.
-- `owner` is the name of the key that created the row, or `local` for the engine's own token.

CREATE TABLE files (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,  -- also the name of the file in files/
    owner          TEXT NOT NULL,
    filename       TEXT NOT NULL,         -- as the client sent it; never a path
    purpose        TEXT NOT NULL,
    bytes          INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    status         TEXT NOT NULL,         -- uploaded (not validated yet), processed or error
    status_details TEXT                   -- of an error: the reason, with its line
);
CREATE INDEX files_by_owner ON files (owner, seq);
CREATE INDEX files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE uploads (
    seq                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,  -- also the name of the folder in uploads/
    owner                TEXT NOT NULL,
    status               TEXT NOT NULL,         -- pending, completed, cancelled or expired
    filename             TEXT NOT NULL,
    purpose              TEXT NOT NULL,
    mime_type            TEXT NOT NULL,
    bytes                INTEGER NOT NULL,      -- as announced
    created_at           INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    expires_after_s INTEGER,                    -- of the completed file
    file_id              TEXT                   -- of the completed file
);
CREATE INDEX uploads_by_status ON uploads (status, expires_at);

CREATE TABLE upload_parts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,      -- also the name of its file, if it has one
    upload_id  TEXT NOT NULL REFERENCES uploads (id),
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    start      INTEGER                    -- of its first byte in the assembled file; NULL: it has a file
);
CREATE INDEX upload_parts_by_upload ON upload_parts (upload_id, seq);

CREATE TABLE jobs (
    seq                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    owner                TEXT NOT NULL,
    status               TEXT NOT NULL,   -- see TRANSITIONS in jobs.py
    model                TEXT NOT NULL,   -- as requested: a base model or a fine-tuned one
    base                 TEXT NOT NULL,   -- the base model of `model`
    training_file        TEXT NOT NULL,
    validation_file      TEXT,
    suffix               TEXT,
    seed                 INTEGER NOT NULL,
    metadata_json        TEXT NOT NULL,
    hyperparameters_json TEXT NOT NULL,   -- as requested
    method               TEXT NOT NULL,   -- supervised or dpo
    resolved_json        TEXT,            -- the hyperparameters with values for "auto"
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
    crashes              INTEGER NOT NULL DEFAULT 0,  -- of its workers
    updated_at           INTEGER NOT NULL,  -- of its latest event
    idempotency_key      TEXT,            -- as the client sent it; unique for each owner
    request_sha256       TEXT,            -- of the request with that key
    turn                 INTEGER          -- the number of its latest worker, of all workers
);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_by_owner ON jobs (owner, seq);
CREATE UNIQUE INDEX jobs_by_idempotency_key ON jobs (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_by_turn ON jobs (owner, turn);

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    job_id     TEXT NOT NULL REFERENCES jobs (id),
    key        TEXT NOT NULL,             -- e.g. `step:12`; a second event with it is ignored
    created_at INTEGER NOT NULL,
    level      TEXT NOT NULL,
    message    TEXT NOT NULL,
    type       TEXT NOT NULL,
    data_json  TEXT NOT NULL,
    UNIQUE (job_id, key)
);
CREATE INDEX events_by_job ON events (job_id, seq);

CREATE TABLE models (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    owner        TEXT NOT NULL,           -- of the job
    job_id       TEXT NOT NULL REFERENCES jobs (id),  -- also the name of its folder in models/
    base         TEXT NOT NULL,
    parent       TEXT NOT NULL,           -- the model that training started from
    created_at   INTEGER NOT NULL,
    step         INTEGER,                 -- of a checkpoint; NULL: the finished model
    metrics_json TEXT NOT NULL,           -- of a checkpoint
    deleted_at   INTEGER                  -- the folder stays while a job starts from it
);
CREATE INDEX models_by_job ON models (job_id, seq);
CREATE INDEX models_by_owner ON models (owner, seq);

CREATE TABLE keys (
    name         TEXT PRIMARY KEY,        -- also the owner of what is created with it
    sha256       TEXT NOT NULL,           -- of the key, in hex; the key itself is not stored
    hint         TEXT NOT NULL,           -- its first characters
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
);
