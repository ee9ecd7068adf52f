-- The connection to Wavebreak: events in batches from a spool, questions with a time limit, and the
-- enforcement states as a cache.
--
-- Copyright (C) 2026 the Wavebreak authors
-- This project is MIT licensed. See README.md.

local lfs = require "lfs";
local async = require "util.async";
local json = require "util.json";
local random = require "util.random";
local hex = require "util.hex";

local BATCH_S, BATCH_EVENTS = 0.2, 1000;
-- A stanza does not wait for the disk: what was told in this time is written in one go.
local WRITE_S = 0.005;
local MAX_IN_MEMORY = 10000;
local SEND_TIMEOUT_S = 20;
local BACKOFF_MIN_S, BACKOFF_MAX_S = 0.2, 30;
local BREAKER_FAILURES, BREAKER_S = 3, 2;
local STALE_S, POLL_S, PAGE = 60, 5, 10000;
local SKEW_CORRECTED_S, SKEW_ALARM_S = 5, 30;
local TIMES = 1000;

local REFUSES_ALL = { suspend = true, ban = true };
local REFUSES_NEW = { suspend = true, ban = true, restrict = true };
local CALM = { allow = true, observe = true };

local client = {};
local client_mt = { __index = client };

-- `options`: url, key, timeout (seconds), max_spooled (events), directory, log, http (net.http),
-- add_task and stop_task (util.timer), now (seconds), monotonic, on_state(state).
local function new(options)
	local self = setmetatable({
		options = options, log = options.log;
		states = {}, states_number = 0, states_loaded = false, heard_at = 0;
		pending = {}, in_flight = false, failures = 0, in_memory = 0;
		breaker = { failures = 0, open_until = 0, probing = false };
		skew_s = 0;
		counters = { told = 0, sent = 0, asked = 0, refused = 0, no_answer = 0, dropped = 0, rejected = 0, late = 0 };
		times = {}; said = {};
		stopped = false;
	}, client_mt);
	self.prefix = ("%013x-%s"):format(math.floor(options.now() * 1000), hex.to(random.bytes(4)));
	self.sequence = 0;
	self:recover();
	return self;
end

-- Once a minute at most for each subject: an outage must not fill the log.
function client:say(level, subject, format, ...)
	local now = self.options.now();
	if self.said[subject] and now - self.said[subject] < 60 then return; end
	self.said[subject] = now;
	self.log(level, format, ...);
end

function client:now_ms()
	return math.floor((self.options.now() + self.skew_s) * 1000);
end

-- Spool: one file a batch; the name is its Idempotency-Key, so that a batch sent twice counts once.

function client:recover()
	local directory = self.options.directory;
	lfs.mkdir(directory);
	local ok, iterate, state = pcall(lfs.dir, directory);
	if not ok then error(("wavebreak: the spool %s cannot be read; give Prosody's user the directory"):format(directory)); end
	for name in iterate, state do
		if name:match("^%x+%-%x+%-%d+%.jsonl$") then
			local path = directory .. "/" .. name;
			local size = lfs.attributes(path, "size") or 0;
			if size == 0 then os.remove(path); else self.pending[#self.pending + 1] = { path = path, key = name:sub(1, -7), held = 0, on_disk = true }; end
		end
	end
	table.sort(self.pending, function (a, b) return a.path < b.path; end);
	for _, batch in ipairs(self.pending) do
		for _ in io.lines(batch.path) do batch.held = batch.held + 1; end
	end
	self.counters.told = self:held();
	self:open_batch();
end

function client:open_batch()
	self.sequence = self.sequence + 1;
	local key = ("%s-%08d"):format(self.prefix, self.sequence);
	local path = self.options.directory .. "/" .. key .. ".jsonl";
	local file, err = io.open(path, "a");
	self.current = { path = path, key = key, held = 0, file = file, bytes = 0, lines = {} };
	if not file then self:spool_failed(self.current, err); end
end

function client:close_batch()
	local batch = self.current;
	self:write_lines();
	if batch.file then batch.file:close(); batch.file = nil; end
	if batch.held > 0 then table.insert(self.pending, batch); else os.remove(batch.path); end
	self.current = nil;
end

function client:held()
	local count = self.current and self.current.held or 0;
	for _, batch in ipairs(self.pending) do count = count + batch.held; end
	return count;
end

local function whole_lines(path)
	local file = io.open(path, "r");
	if not file then return ""; end
	local text = file:read("*a");
	file:close();
	-- A killed process, or a full disk, may have left half a line.
	return text:match("^(.*\n)[^\n]*$") or "";
end

-- Write what was told to the current batch since the last time; what cannot be written stays in memory.
function client:write_lines()
	local batch = self.current;
	if not batch or #batch.lines == 0 then return; end
	local lines, first = batch.lines, 1;
	batch.lines = {};
	if batch.file then
		local text = table.concat(lines);
		local ok, err = batch.file:write(text);
		-- A process that is killed loses nothing that it has flushed.
		if ok then ok, err = batch.file:flush(); end
		if ok then
			batch.on_disk, batch.bytes = true, batch.bytes + #text;
			return;
		end
		self:spool_failed(batch, err);
		-- Some of the lines may have had room.
		if (lfs.attributes(batch.path, "size") or 0) > batch.bytes then
			local written = whole_lines(batch.path):sub(batch.bytes + 1);
			local _, count = written:gsub("\n", "");
			batch.on_disk, first = batch.on_disk or count > 0, first + count;
		end
	end
	batch.memory = batch.memory or {};
	for k = first, #lines do
		if self.in_memory >= MAX_IN_MEMORY then
			self.counters.dropped, batch.held = self.counters.dropped + 1, batch.held - 1;
			self:say("error", "memory", "The spool cannot be written, and memory holds %d events: new ones are dropped. Free the disk", MAX_IN_MEMORY);
		else
			table.insert(batch.memory, lines[k]);
			self.in_memory = self.in_memory + 1;
		end
	end
end

-- A full disk: the batch goes on in memory. Its file takes nothing more, so that no line of it is half.
function client:spool_failed(batch, err)
	if batch.file then batch.file:close(); batch.file = nil; end
	batch.memory = batch.memory or {};
	self:say("error", "spool", "The spool cannot be written: %s. Events are held in memory, %d at most, and a crash would lose them. Free the disk, or give Prosody's user the directory", err, MAX_IN_MEMORY);
end

-- An event is flat: this takes a tenth of the general encoder's time, for every message.
local function encode_event(event)
	local parts, n = {}, 0;
	for name, value in pairs(event) do
		n = n + 1;
		if type(value) == "string" and not value:find('[%c"\\]') then
			parts[n] = '"' .. name .. '":"' .. value .. '"';
		else
			parts[n] = '"' .. name .. '":' .. json.encode(value);
		end
	end
	return "{" .. table.concat(parts, ",") .. "}\n";
end

function client:tell(event)
	local batch, counters = self.current, self.counters;
	counters.told = counters.told + 1;
	if not batch or counters.told - counters.sent - counters.dropped > self.options.max_spooled then
		counters.dropped = counters.dropped + 1;
		self:say("error", "full", "The spool holds %d events, new ones are dropped. Is Wavebreak running?", self.options.max_spooled);
		return;
	end
	local line = encode_event(event);
	batch.held = batch.held + 1;
	table.insert(batch.lines, line);
	if not self.writing then
		self.writing = self.options.add_task(WRITE_S, function ()
			self.writing = nil;
			self:write_lines();
		end);
	end
	if batch.held >= BATCH_EVENTS then
		self:close_batch();
		self:open_batch();
	end
	self:schedule(BATCH_S);
end

function client:schedule(seconds)
	if self.scheduled or self.in_flight or self.stopped then return; end
	self.scheduled = self.options.add_task(seconds, function ()
		self.scheduled = nil;
		self:send();
	end);
end

function client:send()
	if self.in_flight or self.stopped then return; end
	if #self.pending == 0 and self.current and self.current.held > 0 then
		self:close_batch();
		self:open_batch();
	end
	local batch = self.pending[1];
	if not batch then return; end
	local body = (batch.on_disk and whole_lines(batch.path) or "") .. table.concat(batch.memory or {});
	if body == "" then return self:taken(batch); end
	self.in_flight = true;
	self:request("POST", "/v1/events", {
		body = body, timeout = SEND_TIMEOUT_S;
		headers = { ["Content-Type"] = "application/x-ndjson", ["Idempotency-Key"] = batch.key };
	}, function (code, answer, response)
		self.in_flight = false;
		if code == 202 then
			self:count_answer(answer);
			return self:taken(batch);
		end
		self:not_taken(batch, code, answer, response);
	end);
end

function client:count_answer(answer)
	answer = json.decode(answer or "") or {};
	local rejected = tonumber(answer.refused_total) or (type(answer.refused) == "table" and #answer.refused) or 0;
	self.counters.rejected = self.counters.rejected + rejected;
	self.counters.late = self.counters.late + (tonumber(answer.late) or 0);
	if rejected > 0 then
		local first = type(answer.refused) == "table" and answer.refused[1] or {};
		self:say("error", "rejected", "Wavebreak refuses %d events as wrong: %s", rejected, first.detail or first.cause or "no reason given");
	end
end

function client:taken(batch)
	os.remove(batch.path);
	table.remove(self.pending, 1);
	self.in_memory = self.in_memory - #(batch.memory or {});
	self.counters.sent = self.counters.sent + batch.held;
	self.failures = 0;
	if #self.pending > 0 then return self:send(); end
	if self.current and self.current.held > 0 then self:schedule(BATCH_S); end
end

-- Wavebreak's refusals are JSON objects; a page is another service's, or a proxy's.
local function is_foreign(code, body)
	return code >= 400 and code < 500 and not tostring(body or ""):match("^%s*{");
end

local function retried(code)
	return code == 0 or code == 401 or code == 403 or code == 404 or code == 408 or code == 429 or code >= 500;
end

function client:not_taken(batch, code, answer, response)
	if not retried(code) and not is_foreign(code, answer) then
		self:say("error", "batch", "Wavebreak refuses a batch of %d events with %d, it is dropped: %s", batch.held, code, tostring(answer):sub(1, 300));
		self.counters.dropped = self.counters.dropped + batch.held;
		batch.held = 0;
		return self:taken(batch);
	end
	self.failures = self.failures + 1;
	local longest = math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ^ math.min(self.failures, 12));
	local wait = tonumber(response and response.headers and response.headers["retry-after"]);
	self:schedule(wait and math.min(wait, 300) + math.random() or math.max(BACKOFF_MIN_S, math.random() * longest));
	if code ~= 401 and code ~= 403 then
		self:say("warn", "events", "Wavebreak takes no events (%s); %d are held and sent later", code == 0 and tostring(answer) or code, self:held());
	end
end

-- Requests

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 };

local function parse_http_date(text)
	local day, month, year, hour, minute, second = (text or ""):match("^%a+, (%d+) (%a+) (%d+) (%d+):(%d+):(%d+) GMT$");
	if not day or not MONTHS[month] then return nil; end
	local fields = { year = year, month = MONTHS[month], day = day, hour = hour, min = minute, sec = second, isdst = false };
	local as_local = os.time(fields);
	local utc = os.date("!*t", as_local);
	utc.isdst = false;
	return as_local + (as_local - os.time(utc));
end

function client:check_clock(response)
	local date = response and response.headers and parse_http_date(response.headers.date);
	if not date then return; end
	local skew = date - math.floor(self.options.now());
	self.skew_s = math.abs(skew) >= SKEW_CORRECTED_S and skew or 0;
	if math.abs(skew) >= SKEW_ALARM_S then
		self:say("error", "clock", "This machine's clock is %d s off Wavebreak's; events are dated by Wavebreak's. Set both clocks by NTP", skew);
	end
end

-- `answered(code, body, response)` once: code 0 and a reason where there was no answer.
function client:request(method, path, more, answered)
	local options, done, task, request = self.options, false, nil, nil;
	local function finish(code, body, response)
		if done then return; end
		done = true;
		if task then options.stop_task(task); end
		-- The date of a stream is that of its beginning, long ago when it ends.
		if not more.streaming_handler then self:check_clock(response); end
		if is_foreign(code, body) then
			self:say("error", "service", "What answers at %s is no Wavebreak (%d): set wavebreak_url to Wavebreak's own address, then reload the configuration", options.url, code);
		elseif code == 401 or code == 403 then
			self:say("error", "key", "Wavebreak refuses the key (%d): set wavebreak_key to one with the scopes ingest, decide and read, then reload the configuration. Nothing is closed meanwhile", code);
		end
		answered(code, body, response);
	end
	local headers = { Authorization = "Bearer " .. (options.key or ""), Accept = more.accept or "application/json" };
	for name, value in pairs(more.headers or {}) do headers[name] = value; end
	if more.timeout then
		task = options.add_task(more.timeout, function ()
			task = nil;
			finish(0, "timeout");
			if request then options.http.destroy_request(request, true); end
		end);
	end
	request = options.http.request(options.url .. path, {
		method = method, headers = headers, body = more.body, streaming_handler = more.streaming_handler;
	}, function (body, code, response)
		local is_response = type(code) == "number" and code > 0;
		finish(is_response and code or 0, body, is_response and response or nil);
	end);
	return request;
end

-- Questions

function client:breaker_open()
	local breaker = self.breaker;
	if breaker.failures < BREAKER_FAILURES then return false; end
	if self.options.now() < breaker.open_until or breaker.probing then return true; end
	breaker.probing = true;
	return false;
end

function client:breaker_heard(answered, retry_after)
	local breaker = self.breaker;
	breaker.probing = false;
	if answered then breaker.failures = 0; return; end
	breaker.failures = breaker.failures + 1;
	if retry_after then breaker.failures = math.max(breaker.failures, BREAKER_FAILURES); end
	if breaker.failures >= BREAKER_FAILURES then
		breaker.open_until = self.options.now() + math.min(retry_after or BREAKER_S, 30);
	end
end

-- `answered(answer, reason)`: no answer for the reason "breaker", "no answer" or "key".
function client:decide(events, mode, answered)
	if self:breaker_open() then
		self.counters.no_answer = self.counters.no_answer + 1;
		return answered(nil, "breaker");
	end
	self.counters.asked = self.counters.asked + 1;
	self:request("POST", "/v1/decide?mode=" .. mode, {
		body = json.encode(#events == 1 and events[1] or events), timeout = self.options.timeout;
		headers = { ["Content-Type"] = "application/json" };
	}, function (code, body, response)
		local answer = code == 200 and json.decode(body or "");
		if type(answer) == "table" and type(answer.allowed) == "boolean" then
			self:breaker_heard(true);
			return answered(answer);
		end
		self.counters.no_answer = self.counters.no_answer + 1;
		local is_key, is_client = code == 401 or code == 403, code >= 400 and code < 500 and code ~= 429;
		self:breaker_heard(is_client, tonumber(response and response.headers and response.headers["retry-after"]));
		if is_client and not is_key then
			self:say("error", "decide", "Wavebreak cannot answer a question (%d): %s", code, tostring(body):sub(1, 300));
		end
		answered(nil, is_key and "key" or "no answer");
	end);
end

-- Wait for the answer; only inside a util.async runner.
function client:attempt(events, mode)
	local wait, done = async.waiter(1, true);
	local answer, reason;
	self:decide(events, mode, function (a, r)
		answer, reason = a, r;
		done();
	end);
	wait();
	return answer, reason;
end

-- Enforcement states

function client:state(account)
	local state = self.states[account];
	if not state then return "allow"; end
	if state.until_ms and state.until_ms <= self:now_ms() then return "allow", state; end
	return state.outcome, state;
end

function client:states_stale()
	return not self.states_loaded or self.options.now() - self.heard_at > STALE_S;
end

function client:needs_asking(account, opens)
	local outcome = self:state(account);
	if REFUSES_ALL[outcome] and not self:states_stale() then return false; end
	return opens or not CALM[outcome];
end

-- What the cache alone says: whether the act is refused.
function client:refused_by_state(account, opens)
	local outcome, state = self:state(account);
	if REFUSES_ALL[outcome] or (opens and REFUSES_NEW[outcome]) then return state; end
end

local function present(value)
	if value == json.null then return nil; end
	return value;
end

function client:take_state(state)
	local account = state.account;
	if type(account) ~= "string" or type(state.outcome) ~= "string" then return; end
	local number = tonumber(state.number) or 0;
	local known = self.states[account];
	if known and number < known.number then return; end
	self.states_number = math.max(self.states_number, number);
	local kept = {
		account = account, outcome = state.outcome, number = number;
		until_ms = tonumber(present(state.until_ms)), notify_at_ms = tonumber(present(state.notify_at_ms));
	};
	self.states[account] = state.outcome ~= "allow" and kept or nil;
	local before = known and known.outcome or "allow";
	if before ~= kept.outcome then self.options.on_state(kept); end
end

-- Pages of all states that are not allow; then whoever is missing has been lifted.
function client:load_states(loaded, since, seen, first)
	seen = seen or {};
	self:request("GET", ("/v1/states?since=%d&limit=%d"):format(since or 0, PAGE), { timeout = SEND_TIMEOUT_S }, function (code, body)
		local page = code == 200 and json.decode(body or "");
		if type(page) ~= "table" or type(page.states) ~= "table" then return loaded(false, code); end
		for _, state in ipairs(page.states) do
			if type(state.account) == "string" then seen[state.account] = true; end
			self:take_state(state);
		end
		first = first or tonumber(page.number) or 0;
		local next_since = tonumber(present(page.next));
		if next_since then return self:load_states(loaded, next_since, seen, first); end
		for account, state in pairs(self.states) do
			if not seen[account] and state.number <= first then
				self.states[account] = nil;
				self.options.on_state { account = account, outcome = "allow", number = first };
			end
		end
		self.states_number = math.max(self.states_number, first);
		self.states_loaded, self.heard_at = true, self.options.now();
		if self.options.on_states_loaded then self.options.on_states_loaded(); end
		loaded(true);
	end);
end

function client:later(seconds, callback)
	if self.stopped then return; end
	self.options.add_task(seconds, function () if not self.stopped then callback(); end end);
end

function client:follow_states()
	self:load_states(function (ok)
		if self.stopped then return; end
		if ok then
			self.state_failures = 0;
			return self:stream_states();
		end
		self.state_failures = (self.state_failures or 0) + 1;
		local longest = math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ^ math.min(self.state_failures, 12));
		self:later(math.max(BACKOFF_MIN_S, math.random() * longest), function () self:follow_states(); end);
	end);
end

-- Server-sent events, as they come in pieces.
function client:sse_reader()
	local buffer = "";
	return function (data)
		self.heard_at = self.options.now();
		buffer = (buffer .. data):gsub("\r\n", "\n");
		while true do
			local stop = buffer:find("\n\n", 1, true);
			if not stop then break; end
			local block = buffer:sub(1, stop - 1);
			buffer = buffer:sub(stop + 2);
			local kind, lines = "message", {};
			for line in block:gmatch("[^\n]+") do
				local field, value = line:match("^(%a+): ?(.*)$");
				if field == "event" then kind = value; elseif field == "data" then lines[#lines + 1] = value; end
			end
			if kind == "state" then
				local state = json.decode(table.concat(lines, "\n"));
				if type(state) == "table" then self:take_state(state); end
			end
		end
	end
end

function client:stream_states()
	local read = self:sse_reader();
	local sink = { write = function (_, data) read(data); return true; end };
	local opened_at, streaming, watch = self.options.now(), false, nil;
	local request;
	local ended = false;
	local function finished(code)
		if ended then return; end
		ended, self.streaming = true, false;
		if watch then self.options.stop_task(watch); end
		if self.stopped then return; end
		-- A service without the stream is asked again and again.
		if code == 404 or code == 405 or code == 406 or code == 501 then
			return self:later(POLL_S, function () self:follow_states(); end);
		end
		self.stream_failures = streaming and 0 or (self.stream_failures or 0) + 1;
		local wait = math.random() * math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ^ math.min(self.stream_failures, 12));
		if code ~= 0 or self.stream_failures > 3 then
			return self:later(math.max(wait, 1), function () self:follow_states(); end);
		end
		self:later(BACKOFF_MIN_S + wait, function () self:stream_states(); end);
	end
	request = self:request("GET", ("/v1/states/stream?since=%d"):format(self.states_number), {
		accept = "text/event-stream";
		streaming_handler = function (response)
			if response.code ~= 200 then return nil; end
			self:check_clock(response);
			streaming, self.streaming, self.heard_at = true, true, self.options.now();
			return sink, function () end;
		end;
	}, function (code) finished(code); end);
	self.stream_request = request;
	local function check()
		watch = self.options.add_task(5, check);
		if self.options.now() - math.max(self.heard_at, opened_at) > 45 or (not streaming and self.options.now() - opened_at > 10) then
			if request then self.options.http.destroy_request(request, true); end
			finished(0);
		end
	end
	watch = self.options.add_task(5, check);
end

function client:declare(source)
	self:request("PUT", "/v1/sources/self", {
		body = json.encode(source), timeout = SEND_TIMEOUT_S, headers = { ["Content-Type"] = "application/json" };
	}, function (code, body)
		if code == 200 or code == 201 or code == 204 then self.declared = true; return; end
		if code == 0 or code >= 500 or code == 429 then
			return self:later(5 + math.random() * 10, function () self:declare(source); end);
		end
		if is_foreign(code, body) then return self:later(60, function () self:declare(source); end); end
		local fix = code == 409 and "make the key with --source NAME" or "see that Wavebreak is as new as this module";
		self.log("warn", "Wavebreak does not take what this server carries (%d): %s. %s", code, fix, tostring(body):sub(1, 200));
	end);
end

-- Times, of the last thousand of each kind

function client:measured(kind, seconds)
	local ring = self.times[kind];
	if not ring then ring = { n = 0 }; self.times[kind] = ring; end
	ring.n = ring.n + 1;
	ring[(ring.n - 1) % TIMES + 1] = seconds;
end

function client:percentiles(kind)
	local ring = self.times[kind];
	if not ring then return nil; end
	local sorted = table.move(ring, 1, #ring, 1, {});
	table.sort(sorted);
	local function at(share) return sorted[math.max(1, math.ceil(share * #sorted))] * 1000; end
	return { n = ring.n, p50 = at(0.5), p99 = at(0.99) };
end

function client:start(source)
	if source then self:declare(source); end
	self:follow_states();
	if #self.pending > 0 then self:send(); end
end

function client:stop()
	self.stopped = true;
	self:write_lines();
	if self.current and self.current.file then self.current.file:close(); self.current.file = nil; end
	-- The disk may have room again.
	for _, batch in ipairs(self.current and { self.current, table.unpack(self.pending) } or self.pending) do
		local file = batch.memory and #batch.memory > 0 and io.open(batch.path, "a");
		if file then file:write(table.concat(batch.memory)); file:close(); end
	end
	if self.current and self.current.held == 0 then os.remove(self.current.path); end
	if self.stream_request then self.options.http.destroy_request(self.stream_request, true); end
end

return { new = new, parse_http_date = parse_http_date, encode_event = encode_event };
