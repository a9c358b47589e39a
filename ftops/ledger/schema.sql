-- The ledger: what happened, and what was sent where. One file per FTOPS_HOME.
--
-- Moments are text in UTC, like 2026-11-22T14:07:03.123456+00:00, so that they sort as they are.
-- Columns named *_json hold one JSON document. Nothing here is ever a key or another secret:
-- providers are named by the environment variable that holds their key.

PRAGMA application_id = 0x66746F70;  -- "ftop": the file is a ledger of ftops
PRAGMA user_version = 2;             -- of this schema

-- One execution of one job file.
CREATE TABLE IF NOT EXISTS runs (
    id               TEXT PRIMARY KEY,   -- run-20261122-1407-k3f9
    key              TEXT NOT NULL,      -- what makes two executions the same
    name             TEXT NOT NULL,
    status           TEXT NOT NULL
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    provider_json    TEXT NOT NULL,
    model            TEXT NOT NULL,
    spec_json        TEXT NOT NULL,      -- the validated job file
    job_file         TEXT NOT NULL,      -- absolute path at the time of the run
    overrides_json   TEXT NOT NULL DEFAULT '[]', -- the --set texts that went with it
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL,
    finished_at      TEXT,
    job_id           TEXT,               -- of the newest job; older ones are in calls
    fine_tuned_model TEXT,
    error            TEXT,
    cancel_asked_at  TEXT,               -- the process that drives the run checks it before each step
    force_new_job    INTEGER NOT NULL DEFAULT 0, -- 1: opened with --new, takes over no other job
    pruned_at        TEXT,               -- when `ftops prune` removed its files
    job_status       TEXT                -- of job_id, once it was seen to end; null: not yet seen
);
CREATE INDEX IF NOT EXISTS runs_by_key ON runs (key, created_at);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (created_at);
CREATE INDEX IF NOT EXISTS runs_by_name ON runs (name, created_at);
CREATE INDEX IF NOT EXISTS runs_by_job ON runs (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_by_model ON runs (fine_tuned_model) WHERE fine_tuned_model IS NOT NULL;

-- How far each run is; the rows are made together with it, `deploy` only where it is needed.
CREATE TABLE IF NOT EXISTS stages (
    run_id      TEXT NOT NULL REFERENCES runs (id),
    stage       TEXT NOT NULL
        CHECK (stage IN ('prepare', 'upload', 'create', 'follow', 'results', 'deploy', 'evaluate')),
    status      TEXT NOT NULL
        CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    started_at  TEXT,                    -- of the newest attempt
    finished_at TEXT,
    detail_json TEXT NOT NULL DEFAULT '{}',
    error       TEXT,
    PRIMARY KEY (run_id, stage)
) WITHOUT ROWID;

-- What happened, in the order in which it became known: changes of state (job_id is null) and the
-- events of the provider's jobs.
CREATE TABLE IF NOT EXISTS events (
    id        INTEGER PRIMARY KEY,
    run_id    TEXT NOT NULL REFERENCES runs (id),
    job_id    TEXT,
    event_id  TEXT,                      -- the provider's
    at        TEXT NOT NULL,             -- the provider's time for its events, ours for changes of state
    level     TEXT NOT NULL,
    type      TEXT NOT NULL,
    message   TEXT NOT NULL,
    data_json TEXT NOT NULL DEFAULT '{}',
    shown     INTEGER NOT NULL DEFAULT 0 CHECK (shown IN (0, 1))
);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, id);
CREATE UNIQUE INDEX IF NOT EXISTS events_once ON events (run_id, job_id, event_id) WHERE job_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_unshown ON events (run_id, id) WHERE shown = 0;

-- Requests that change something at a provider. Written before the request leaves ('intent') and
-- after the answer ('done' or 'failed'): an intent without an answer may have had its effect.
CREATE TABLE IF NOT EXISTS calls (
    id           INTEGER PRIMARY KEY,
    run_id       TEXT NOT NULL REFERENCES runs (id),
    stage        TEXT NOT NULL,
    name         TEXT NOT NULL,          -- upload_file, create_job, cancel_job, delete_file, …
    state        TEXT NOT NULL CHECK (state IN ('intent', 'done', 'failed')),
    request_json TEXT NOT NULL,          -- what identifies the request; never training text
    remote_id    TEXT,
    error        TEXT,
    began_at     TEXT NOT NULL,
    ended_at     TEXT,
    CHECK ((state = 'intent') = (ended_at IS NULL)),
    CHECK (state <> 'done' OR remote_id IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS calls_by_run ON calls (run_id, id);
CREATE INDEX IF NOT EXISTS calls_by_remote ON calls (remote_id) WHERE remote_id IS NOT NULL;

-- Which content was uploaded to which account, so that the same bytes are sent once.
CREATE TABLE IF NOT EXISTS uploads (
    account      TEXT NOT NULL,
    file_id      TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    filename     TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    run_id       TEXT NOT NULL REFERENCES runs (id),
    created_at   TEXT NOT NULL,
    forgotten_at TEXT,                   -- when the provider no longer had it
    PRIMARY KEY (account, sha256, file_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_file ON uploads (file_id);

-- An upload in parts that has begun and not ended: one for a call that is an intent.
CREATE TABLE IF NOT EXISTS multipart_uploads (
    call_id    INTEGER PRIMARY KEY REFERENCES calls (id),
    upload_id  TEXT NOT NULL,             -- the provider's
    part_bytes INTEGER NOT NULL,
    expires_at TEXT NOT NULL,
    completing INTEGER NOT NULL DEFAULT 0 CHECK (completing IN (0, 1))  -- may be a file already
);

-- The parts of it that the provider has confirmed.
CREATE TABLE IF NOT EXISTS parts (
    call_id INTEGER NOT NULL REFERENCES multipart_uploads (call_id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,            -- from 0 on
    part_id TEXT NOT NULL,               -- the provider's
    PRIMARY KEY (call_id, number)
) WITHOUT ROWID;

-- Fine-tuned models, with what is needed to send them requests.
CREATE TABLE IF NOT EXISTS models (
    name          TEXT PRIMARY KEY,
    run_id        TEXT NOT NULL REFERENCES runs (id),
    job_id        TEXT NOT NULL,
    base          TEXT NOT NULL,
    provider_json TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    row_format    TEXT NOT NULL,
    separator     TEXT NOT NULL,
    stop          TEXT,
    deleted_at    TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS models_by_time ON models (created_at);

-- Deployments of models. What has no ended_at may cost something now.
CREATE TABLE IF NOT EXISTS deployments (
    account       TEXT NOT NULL,
    deployment_id TEXT NOT NULL,         -- the provider's
    run_id        TEXT NOT NULL REFERENCES runs (id),
    provider_json TEXT NOT NULL,
    name          TEXT NOT NULL,         -- ours, unique for each request, by which a lost answer is found
    model         TEXT NOT NULL,         -- the fine-tuned model
    call_name     TEXT NOT NULL,         -- its name in requests
    status        TEXT NOT NULL,         -- as last seen
    hourly_usd    REAL,                  -- null: unknown
    created_at    TEXT NOT NULL,
    ends_at       TEXT,                  -- when the provider, else ftops, ends it; null: never
    ended_at      TEXT,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deployments_by_run ON deployments (run_id);
