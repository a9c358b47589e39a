// Every operation of `current.OPERATIONS` with the Node SDK.
// Its argument is the file that gets the outcomes: null for what passed, else what was wrong.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ maxRetries: 0 });
const jobs = client.fineTuning.jobs;
const kept = {};
const outcomes = {};
const ended = ["succeeded", "failed", "cancelled"];
const colours = ["red", "green", "blue"];

const lines = (n, row) =>
  Array.from({ length: n }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
const chats = (n = 60) =>
  lines(n, (i) => ({
    messages: [
      { role: "system", content: "Name the colour." },
      { role: "user", content: `thing ${i} is ${colours[i % 3]}` },
      { role: "assistant", content: colours[i % 3] },
    ],
  }));
const completions = (n = 60) =>
  lines(n, (i) => ({
    prompt: `thing ${i} is ${colours[i % 3]} ->`,
    completion: ` ${colours[i % 3]}`,
  }));

async function upload(content, more = {}, name = "rows.jsonl") {
  const file = await toFile(Buffer.from(content), name);
  return client.files.create({ file, purpose: "fine-tune", ...more });
}

async function waitFor(id, ...statuses) {
  const end = Date.now() + 240_000;
  for (;;) {
    const job = await jobs.retrieve(id);
    if (statuses.includes(job.status)) return job;
    assert(Date.now() < end && !ended.includes(job.status), `${id} is ${job.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function refusal(status, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.status, status, String(error));
    return error;
  }
  throw new Error(`no ${status}`);
}

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function attempt(name, operation) {
  try {
    await operation();
    outcomes[name] = null;
  } catch (error) {
    outcomes[name] = String(error);
  }
}

const say = (model, more = {}) =>
  client.chat.completions.create({
    model,
    messages: [
      { role: "system", content: "Name the colour." },
      { role: "user", content: "thing 1 is green" },
    ],
    ...more,
  });

await attempt("models.list, models.retrieve", async () => {
  assert((await all(client.models.list())).some((model) => model.id === "ada"));
  assert.equal((await client.models.retrieve("ada")).object, "model");
});

await attempt("files.create, retrieve, content", async () => {
  const made = await upload(chats());
  assert.equal(made.status, "processed");
  assert.deepEqual(await client.files.retrieve(made.id), made);
  assert.equal(await (await client.files.content(made.id)).text(), chats());
  kept.chats = made.id;
});

await attempt("files.create with expires_after", async () => {
  const made = await upload(chats(), { expires_after: { anchor: "created_at", seconds: 3600 } });
  assert.equal(made.expires_at, made.created_at + 3600);
  const short = { expires_after: { anchor: "created_at", seconds: 1 } };
  await refusal(400, () => upload(chats(), short));
});

await attempt("files.list by purpose, page by page", async () => {
  for (const n of [1, 2, 3]) await upload(chats(), {}, `${n}.jsonl`);
  const found = (await all(client.files.list({ purpose: "fine-tune", limit: 2 }))).map((f) => f.id);
  assert(found.includes(kept.chats) && new Set(found).size === found.length);
  const back = (await all(client.files.list({ order: "asc", limit: 2 }))).map((f) => f.id);
  assert.deepEqual(back, found.reverse());
});

await attempt("files.wait_for_processing of an invalid file", async () => {
  const made = await upload('{"prompt": "a"}\n');
  const seen = await client.files.waitForProcessing(made.id, { pollInterval: 100 });
  assert.equal(seen.status, "error");
  assert.match(seen.status_details, /line 1/);
  kept.bad = made.id;
});

await attempt("uploads.create, parts, complete with md5", async () => {
  const content = Buffer.from(completions());
  const made = await client.uploads.create({
    bytes: content.length,
    filename: "rows.jsonl",
    mime_type: "text/jsonl",
    purpose: "fine-tune",
  });
  const part_ids = [];
  for (let start = 0; start < content.length; start += 1000) {
    const data = await toFile(content.subarray(start, start + 1000), "part");
    part_ids.push((await client.uploads.parts.create(made.id, { data })).id);
  }
  const md5 = createHash("md5").update(content).digest("hex");
  const done = await client.uploads.complete(made.id, { part_ids, md5 });
  assert.equal(done.status, "completed");
  assert.equal(await (await client.files.content(done.file.id)).text(), completions());
  kept.completions = done.file.id;
});

await attempt("uploads.cancel", async () => {
  const made = await client.uploads.create({
    bytes: 10,
    filename: "a.jsonl",
    mime_type: "text/jsonl",
    purpose: "fine-tune",
  });
  assert.equal((await client.uploads.cancel(made.id)).status, "cancelled");
  const data = await toFile(Buffer.from("a"), "part");
  await refusal(400, () => client.uploads.parts.create(made.id, { data }));
});

await attempt("jobs.create with method, suffix, seed, metadata, validation file", async () => {
  const job = await jobs.create({
    model: "ada",
    training_file: kept.chats,
    validation_file: (await upload(chats(9))).id,
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: "auto" } } },
    suffix: "colours",
    seed: 7,
    metadata: { team: "search" },
  });
  assert.equal(job.seed, 7);
  assert.deepEqual(job.metadata, { team: "search" });
  assert.equal(job.method.supervised.hyperparameters.n_epochs, "auto");
  kept.job = job.id;
});

await attempt("jobs.retrieve until succeeded, auto resolved", async () => {
  const job = await waitFor(kept.job, "succeeded");
  assert(Number.isInteger(job.hyperparameters.n_epochs));
  assert(job.trained_tokens > 0);
  kept.model = job.fine_tuned_model;
});

await attempt("jobs.list with limit, after and metadata", async () => {
  const other = await jobs.create({ model: "ada", training_file: kept.chats });
  await jobs.cancel(other.id);
  const ids = async (query) => (await all(jobs.list(query))).map((job) => job.id);
  assert.deepEqual(await ids({ limit: 1 }), [other.id, kept.job]);
  assert.deepEqual(await ids({ after: other.id }), [kept.job]);
  assert.deepEqual(await ids({ metadata: { team: "search" } }), [kept.job]);
});

await attempt("jobs.list_events, page by page, newest first", async () => {
  const events = await all(jobs.listEvents(kept.job, { limit: 3 }));
  assert(events.length > 6 && new Set(events.map((event) => event.id)).size === events.length);
  assert.match(events[0].message, /success/);
  assert(events.some((event) => event.type === "metrics" && event.data.train_loss > 0));
});

await attempt("jobs.checkpoints.list, completion by a checkpoint", async () => {
  const found = await all(jobs.checkpoints.list(kept.job, { limit: 1 }));
  assert(found.length >= 1 && found.length <= 3);
  const name = found[0].fine_tuned_model_checkpoint;
  assert(name.endsWith(`:ckpt-step-${found[0].step_number}`));
  assert(found[0].metrics.valid_loss > 0);
  await say(name);
});

await attempt("results file", async () => {
  const [id] = (await jobs.retrieve(kept.job)).result_files;
  const rows = (await (await client.files.content(id)).text()).split("\n");
  assert(rows[0].startsWith("step,") && rows.length > 3);
});

await attempt("chat.completions.create", async () => {
  const answer = await say(kept.model, { temperature: 0, max_tokens: 8 });
  assert.equal(answer.choices[0].message.role, "assistant");
  assert(answer.usage.total_tokens > answer.usage.prompt_tokens);
});

await attempt(
  "chat.completions.create with n, stop, seed, logprobs, penalties, logit_bias",
  async () => {
    const options = {
      n: 2,
      seed: 1,
      stop: ["zzz"],
      logprobs: true,
      top_logprobs: 2,
      presence_penalty: 0.5,
      frequency_penalty: 0.5,
      logit_bias: { 40: -100 },
      top_p: 0.9,
      max_completion_tokens: 6,
    };
    const [first, again] = [await say(kept.model, options), await say(kept.model, options)];
    const texts = (one) => one.choices.map((choice) => choice.message.content);
    assert.deepEqual(texts(first), texts(again));
    assert.equal(first.choices[0].logprobs.content[0].top_logprobs.length, 2);
  },
);

await attempt("chat.completions.create, streamed with usage", async () => {
  const options = { temperature: 0, max_tokens: 8 };
  const whole = (await say(kept.model, options)).choices[0].message.content;
  const usage = { stream: true, stream_options: { include_usage: true } };
  const chunks = await all(await say(kept.model, { ...options, ...usage }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, whole);
  assert(chunks.at(-1).usage.completion_tokens > 0);
});

await attempt("jobs.create with the older hyperparameters on completion rows", async () => {
  const made = await jobs.create({
    model: "ada",
    training_file: kept.completions,
    hyperparameters: { n_epochs: 3, batch_size: 8, learning_rate_multiplier: 1 },
  });
  const job = await waitFor(made.id, "succeeded");
  assert.equal(job.hyperparameters.n_epochs, 3);
  kept.text = job.fine_tuned_model;
});

await attempt("completions.create with several prompts, echo, logprobs", async () => {
  const prompt = ["thing 1 is green ->", "a"];
  const options = { model: kept.text, prompt, echo: true, logprobs: 1, n: 2 };
  const answer = await client.completions.create(options);
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2, 3]);
  assert(answer.choices[0].text.startsWith(prompt[0]));
});

await attempt("completions.create, streamed", async () => {
  const options = { model: kept.text, prompt: "thing 1 is green ->", temperature: 0 };
  const whole = (await client.completions.create(options)).choices[0].text;
  const pieces = await all(await client.completions.create({ ...options, stream: true }));
  assert.equal(pieces.map((piece) => piece.choices[0].text).join(""), whole);
});

await attempt("jobs.create from a fine-tuned model", async () => {
  const hyperparameters = { n_epochs: 1 };
  const made = await jobs.create({ model: kept.model, training_file: kept.chats, hyperparameters });
  kept.child = (await waitFor(made.id, "succeeded")).fine_tuned_model;
});

await attempt("jobs.create on preferences (dpo)", async () => {
  const rows = lines(12, (i) => ({
    input: { messages: [{ role: "user", content: `thing ${i}?` }] },
    preferred_output: [{ role: "assistant", content: "red" }],
    non_preferred_output: [{ role: "assistant", content: "blue" }],
  }));
  const job = await jobs.create({
    model: kept.model,
    training_file: (await upload(rows)).id,
    method: { type: "dpo", dpo: { hyperparameters: { beta: 0.2, n_epochs: 2 } } },
  });
  assert.equal(job.method.type, "dpo");
  const done = await waitFor(job.id, "succeeded");
  assert.equal(done.method.dpo.hyperparameters.beta, 0.2);
  await say(done.fine_tuned_model);
});

await attempt("jobs.pause, jobs.resume", async () => {
  const hyperparameters = { n_epochs: 500, batch_size: 4 };
  const made = await jobs.create({ model: "babbage", training_file: kept.chats, hyperparameters });
  await waitFor(made.id, "running");
  await jobs.pause(made.id);
  await waitFor(made.id, "paused");
  await refusal(400, () => jobs.pause(made.id));
  assert.equal((await jobs.resume(made.id)).status, "queued");
  await waitFor(made.id, "running");
  kept.long = made.id;
});

await attempt("jobs.cancel, twice", async () => {
  assert.equal((await jobs.cancel(kept.long)).status, "cancelled");
  await refusal(400, () => jobs.cancel(kept.long));
});

await attempt("invalid row: the job fails and names the line", async () => {
  const made = await jobs.create({ model: "ada", training_file: kept.bad });
  const job = await waitFor(made.id, "failed");
  assert.equal(job.error.code, "invalid_training_file");
  assert.match(job.error.message, /line 1/);
});

await attempt("refused: reinforcement, integrations", async () => {
  const grader = {
    type: "string_check",
    name: "same",
    input: "{{sample.output_text}}",
    reference: "{{item.answer}}",
    operation: "eq",
  };
  const job = { model: "ada", training_file: kept.chats };
  const method = { type: "reinforcement", reinforcement: { grader } };
  const integrations = [{ type: "wandb", wandb: { project: "x" } }];
  assert.equal((await refusal(400, () => jobs.create({ ...job, method }))).param, "method");
  const refused = await refusal(400, () => jobs.create({ ...job, integrations }));
  assert.equal(refused.param, "integrations");
});

await attempt("errors 400, 401, 404 with type, param, code and request id", async () => {
  const missing = await refusal(404, () => client.models.retrieve("ft:none"));
  assert.equal(missing.code, "model_not_found");
  assert.equal(missing.type, "invalid_request_error");
  assert(missing.requestID);
  const bad = { model: "ada", training_file: "file-none" };
  assert.equal((await refusal(400, () => jobs.create(bad))).param, "training_file");
  const stranger = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
  assert.equal((await refusal(401, () => stranger.models.list())).code, "invalid_api_key");
});

await attempt("rate limit and request headers", async () => {
  const made = { model: "ada", training_file: kept.chats };
  const { data, response } = await jobs.create(made).withResponse();
  await jobs.cancel(data.id);
  assert(Number(response.headers.get("x-ratelimit-remaining-requests")) > 0);
  assert(response.headers.get("x-request-id"));
});

await attempt("models.delete", async () => {
  assert((await client.models.delete(kept.child)).deleted);
  await refusal(404, () => say(kept.child));
});

await attempt("files.delete", async () => {
  assert((await client.files.delete(kept.bad)).deleted);
  await refusal(404, () => client.files.retrieve(kept.bad));
});

writeFileSync(process.argv[2], JSON.stringify(outcomes));
