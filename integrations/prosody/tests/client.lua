-- Cases of the client without a server: a queue that fails, a spool that is left, a stream in pieces.
-- Arguments: Prosody's source directory, the module's directory, a directory to write in.

local source, directory, home = arg[1], arg[2], arg[3];
package.path = source .. "/?.lua;" .. package.path;
package.cpath = source .. "/?.so;" .. package.cpath;
assert(loadfile(source .. "/loader.lua"))("loader");

local json = require "util.json";
local lfs = require "lfs";
local library = assert(loadfile(directory .. "/client.lib.lua"))();

local number = 0;

-- A client with a clock, timers and HTTP of the case's own. `answer(path, options)` gives code, body,
-- headers; nil: no answer comes.
local function new_world(spool)
	number = number + 1;
	local world = { now = 1000, tasks = {}, requests = {}, states = {}, logged = {}, spool = spool or (home .. "/spool" .. number) };
	local function request(url, options, callback)
		local made = { path = url:gsub("^http://wavebreak", ""), options = options, callback = callback };
		table.insert(world.requests, made);
		if world.answer then
			local code, body, headers = world.answer(made.path, options);
			if code then callback(body, code, { code = code, headers = headers or {} }); end
		end
		return made;
	end
	world.client = library.new {
		url = "http://wavebreak", key = "k", timeout = 0.25, max_spooled = 5000, directory = world.spool;
		log = function (level, ...) table.insert(world.logged, level .. " " .. string.format(...)); end;
		http = { request = request, destroy_request = function () end };
		add_task = function (seconds, run) local task = { at = world.now + seconds, run = run }; world.tasks[task] = true; return task; end;
		stop_task = function (task) world.tasks[task] = nil; end;
		now = function () return world.now; end;
		on_state = function (state) table.insert(world.states, state.account .. " " .. state.outcome); end;
	};
	function world.pass(seconds)
		local ending = world.now + seconds;
		while true do
			local first;
			for task in pairs(world.tasks) do if task.at <= ending and (not first or task.at < first.at) then first = task; end end
			if not first then break; end
			world.tasks[first], world.now = nil, math.max(world.now, first.at);
			first.run();
		end
		world.now = ending;
	end
	return world;
end

local function files(path)
	local found = {};
	for name in lfs.dir(path) do
		if name:match("%.jsonl$") and lfs.attributes(path .. "/" .. name, "size") > 0 then found[#found + 1] = path .. "/" .. name; end
	end
	return found;
end

local cases = {};

function cases.batch_goes_after_200_ms_with_a_key()
	local world = new_world();
	world.answer = function () return 202, "{}"; end;
	for i = 1, 3 do world.client:tell { id = "e" .. i }; end
	world.pass(0.1);
	assert(#world.requests == 0);
	world.pass(0.2);
	assert(#world.requests == 1 and world.requests[1].path == "/v1/events");
	assert(select(2, world.requests[1].options.body:gsub("\n", "")) == 3);
	assert(#world.requests[1].options.headers["Idempotency-Key"] > 10);
	assert(#files(world.spool) == 0 and world.client:held() == 0);
end

function cases.batch_holds_at_most_1000()
	local world = new_world();
	for i = 1, 2500 do world.client:tell { id = "e" .. i }; end
	assert(#world.client.pending == 2 and world.client:held() == 2500);
end

function cases.refused_batch_keeps_its_key_and_body()
	local world = new_world();
	local code = 503;
	world.answer = function () return code, "{}"; end;
	world.client:tell { id = "e1" };
	world.pass(5);
	world.client:tell { id = "e2" };
	local before = #world.requests;
	assert(before > 1);
	code = 202;
	world.pass(60);
	assert(world.requests[before + 1].options.headers["Idempotency-Key"] == world.requests[1].options.headers["Idempotency-Key"]);
	assert(world.requests[before + 1].options.body == world.requests[1].options.body);
	assert(world.client:held() == 0);
end

function cases.retry_after_is_obeyed()
	local world = new_world();
	world.answer = function () return 503, "{}", { ["retry-after"] = "7" }; end;
	world.client:tell { id = "e1" };
	world.pass(6.9);
	assert(#world.requests == 1);
	world.pass(2);
	assert(#world.requests == 2);
end

function cases.wrong_key_holds_events_and_is_an_error()
	local world = new_world();
	world.answer = function () return 401, "{}"; end;
	world.client:tell { id = "e1" };
	world.pass(100);
	assert(world.client:held() == 1);
	assert(world.logged[1]:match("^error .*refuses the key"));
	world.answer = function () return 202, "{}"; end;
	world.pass(60);
	assert(world.client:held() == 0);
end

function cases.another_service_is_not_taken_for_a_wrong_key()
	for _, code in ipairs { 401, 404, 405 } do
		local world = new_world();
		world.answer = function () return code, "<h1>Who are you?</h1>"; end;
		world.client:tell { id = "e1" };
		world.pass(100);
		assert(world.client:held() == 1);
		assert(world.logged[1]:match("^error .*is no Wavebreak"), world.logged[1]);
		for _, line in ipairs(world.logged) do assert(not line:match(" key "), line); end
		world.answer = function () return 202, "{}"; end;
		world.pass(60);
		assert(world.client:held() == 0);
	end
end

function cases.wrong_batch_is_dropped_as_an_error()
	local world = new_world();
	world.answer = function () return 422, "{}"; end;
	world.client:tell { id = "e1" };
	world.pass(1);
	assert(world.client:held() == 0 and world.client.counters.dropped == 1);
	assert(world.logged[1]:match("^error"));
end

function cases.spool_of_a_killed_server_is_sent_with_its_key()
	local world = new_world();
	world.client:tell { id = "e1" };
	world.client:tell { id = "e2" };
	-- No stanza waits for the disk: a crash in these milliseconds loses what they told.
	assert(#files(world.spool) == 0);
	world.pass(0.01);
	local left = files(world.spool);
	local torn = io.open(left[1], "a");
	torn:write('{"id":"e3');
	torn:close();
	local again = new_world(world.spool);
	again.answer = function (path) return path == "/v1/events" and 202 or 404, "{}"; end;
	again.client:start();
	again.pass(1);
	local sent = {};
	for _, request in ipairs(again.requests) do if request.path == "/v1/events" then sent[#sent + 1] = request; end end
	assert(#sent == 1 and sent[1].options.body == '{"id":"e1"}\n{"id":"e2"}\n');
	assert(left[1]:find(sent[1].options.headers["Idempotency-Key"], 1, true));
	assert(#files(world.spool) == 0);
end

function cases.full_spool_drops_and_says_so()
	local world = new_world();
	for i = 1, 5100 do world.client:tell { id = "e" .. i }; end
	assert(world.client.counters.dropped > 0 and world.client:held() <= 5001);
	assert(world.logged[1]:match("^error The spool holds"));
end

function cases.full_disk_holds_events_in_memory()
	local world = new_world();
	local client = world.client;
	client:tell { id = "e1" };
	world.pass(0.01);
	client:spool_failed(client.current, "No space left on device");
	client:tell { id = "e2" };
	client:tell { id = "e3" };
	world.pass(0.01);
	assert(client:held() == 3 and client.in_memory == 2);
	assert(world.logged[1]:match("^error .*cannot be written: No space left"));
	world.answer = function () return 202, "{}"; end;
	world.pass(1);
	assert(world.requests[1].options.body == '{"id":"e1"}\n{"id":"e2"}\n{"id":"e3"}\n');
	assert(client:held() == 0 and client.in_memory == 0 and client.counters.dropped == 0);
	-- The next batch is on disk again.
	client:tell { id = "e4" };
	world.pass(0.01);
	assert(client.in_memory == 0 and client:held() == 1 and #files(world.spool) == 1);
end

function cases.lines_that_had_room_are_not_sent_twice()
	local world = new_world();
	local client, batch = world.client, world.client.current;
	client:tell { id = "e1" };
	world.pass(0.01);
	local file = batch.file;
	-- The disk is full within the third line.
	batch.file = {
		write = function (_, text)
			file:write(text:sub(1, 18));
			file:flush();
			return nil, "No space left on device";
		end;
		close = function () file:close(); end;
	};
	for _, id in ipairs { "e2", "e3", "e4" } do client:tell { id = id }; end
	world.answer = function () return 202, "{}"; end;
	world.pass(1);
	assert(world.requests[1].options.body == '{"id":"e1"}\n{"id":"e2"}\n{"id":"e3"}\n{"id":"e4"}\n');
	assert(client:held() == 0 and client.in_memory == 0 and client.counters.sent == 4);
end

function cases.memory_is_bounded_and_goes_to_disk_at_the_end()
	local world = new_world();
	local client = world.client;
	client.options.max_spooled = 100000;
	for i = 1, 10050 do
		client:tell { id = "e" .. i };
		client:write_lines();
		if not client.current.memory then client:spool_failed(client.current, "full"); end
	end
	assert(client.in_memory == 10000 and client.counters.dropped > 0);
	assert(client:held() + client.counters.dropped == 10050);
	local held = client:held();
	client:stop();
	local again = new_world(world.spool);
	assert(again.client:held() == held);
end

function cases.breaker_opens_after_three_failures_for_two_seconds()
	local world = new_world();
	local reasons = {};
	local function ask() world.client:decide({ { id = "e" } }, "ask", function (_, reason) reasons[#reasons + 1] = reason; end); end
	for _ = 1, 3 do ask(); world.pass(0.3); end
	assert(#world.requests == 3);
	ask();
	assert(#world.requests == 3 and reasons[4] == "breaker");
	world.pass(2);
	ask();
	assert(#world.requests == 4);
	-- One probe at a time.
	ask();
	assert(#world.requests == 4);
	world.requests[4].callback('{"allowed":true}', 200, { code = 200, headers = {} });
	ask();
	assert(#world.requests == 5);
end

function cases.wrong_key_does_not_open_the_breaker()
	local world = new_world();
	world.answer = function () return 403, "{}"; end;
	local reasons = {};
	for _ = 1, 5 do world.client:decide({ { id = "e" } }, "ask", function (_, reason) reasons[#reasons + 1] = reason; end); end
	assert(#world.requests == 5 and reasons[5] == "key");
end

function cases.late_answer_is_no_second_answer()
	local world = new_world();
	local answers = 0;
	world.client:decide({ { id = "e" } }, "ask", function () answers = answers + 1; end);
	world.pass(0.3);
	world.requests[1].callback('{"allowed":false}', 200, { code = 200, headers = {} });
	assert(answers == 1);
end

function cases.states_come_in_pieces_and_end_by_themselves()
	local world = new_world();
	local client = world.client;
	local read = client:sse_reader();
	local text = 'retry: 2000\n\n: quiet\n\nevent: state\nid: 5\ndata: {"account":"a","outcome":"restrict","until_ms":1010000,"number":5}\n\n';
	for i = 1, #text do read(text:sub(i, i)); end
	assert(client:state("a") == "restrict" and client.states_number == 5);
	assert(client:needs_asking("a", false) and not client:needs_asking("b", false) and client:needs_asking("b", true));
	assert(client:refused_by_state("a", true) and not client:refused_by_state("a", false));
	world.pass(11);
	assert(client:state("a") == "allow");
	read('event: state\r\nid: 6\r\ndata: {"account":"a","outcome":"allow","until_ms":null,"number":6}\r\n\r\n');
	assert(world.states[2] == "a allow" and client.states["a"] == nil);
end

function cases.older_state_changes_nothing()
	local world = new_world();
	world.client:take_state { account = "a", outcome = "ban", number = 9 };
	world.client:take_state { account = "a", outcome = "allow", number = 8 };
	assert(world.client:state("a") == "ban");
end

function cases.snapshot_has_pages_and_lifts_who_is_missing()
	local world = new_world();
	local client = world.client;
	client:take_state { account = "old", outcome = "ban", number = 3 };
	world.answer = function (path)
		if path:find("since=0", 1, true) then return 200, json.encode { states = { { account = "a", outcome = "limit", number = 7 } }, next = 7, number = 9 }; end
		if path:find("since=7", 1, true) then return 200, '{"states":[{"account":"b","outcome":"ban","number":8}],"next":null,"number":9}'; end
	end;
	local loaded;
	client:load_states(function (ok) loaded = ok; end);
	assert(loaded and client:state("a") == "limit" and client:state("b") == "ban" and client:state("old") == "allow");
	assert(client.states_number == 9 and not client:states_stale());
	world.pass(61);
	assert(client:states_stale());
end

function cases.clock_is_corrected_by_the_service()
	local world = new_world();
	assert(library.parse_http_date("Sat, 28 Nov 2026 06:04:27 GMT") == 1795845867);
	world.now = 1795845867 - 120;
	world.client:check_clock { headers = { date = "Sat, 28 Nov 2026 06:04:27 GMT" } };
	assert(world.client:now_ms() == 1795845867000);
	assert(world.logged[1]:match("^error This machine's clock"));
end

function cases.end_of_a_stream_says_nothing_of_the_clock()
	local world = new_world();
	world.now = 1795845867;
	world.client:stream_states();
	local begin = { code = 200, headers = { date = "Sat, 28 Nov 2026 06:04:27 GMT" } };
	local stream = world.requests[1];
	stream.options.streaming_handler(begin);
	world.now = world.now + 600;
	stream.callback("", 200, begin);
	assert(world.client.skew_s == 0 and #world.logged == 0);
	-- Where it begins it does.
	world.now = 1795845867 - 120;
	world.client:stream_states();
	world.requests[#world.requests].options.streaming_handler(begin);
	assert(world.client.skew_s == 120);
end

function cases.event_is_encoded_as_json()
	local event = { id = 'a"b\\c\n', account = "ü@example.org", size = 12, in_contacts = false, ts = 1795845867000 };
	local text = library.encode_event(event);
	assert(text:sub(-1) == "\n" and not text:sub(1, -2):find("\n", 1, true));
	local decoded = json.decode(text);
	for name, value in pairs(event) do assert(decoded[name] == value, name); end
end

local failed, count = 0, 0;
for name, case in pairs(cases) do
	count = count + 1;
	local ok, err = xpcall(case, debug.traceback);
	if not ok then failed = failed + 1; print(name .. ": " .. err); end
end
print(("%d cases, %d failed"):format(count, failed));
os.exit(failed == 0);
