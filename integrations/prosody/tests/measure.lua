-- Measures what the module adds to a message that is sent on and not asked about: mapping, spool and
-- caches, without a network. Prints microseconds, of the wall clock and of the processor.
-- Arguments: Prosody's source directory, the module's directory, a directory to write in.

local source, directory, home = arg[1], arg[2], arg[3];
package.path = source .. "/?.lua;" .. package.path;
package.cpath = source .. "/?.so;" .. package.cpath;
assert(loadfile(source .. "/loader.lua"))("loader");

local st = require "util.stanza";
local time = require "util.time";
local client = assert(loadfile(directory .. "/client.lib.lua"))().new {
	url = "http://127.0.0.1:1", key = "k", timeout = 0.25, max_spooled = 1e9, directory = home .. "/spool";
	log = function () end, http = { request = function () end, destroy_request = function () end };
	add_task = function () return {}; end, stop_task = function () end, now = time.now, on_state = function () end;
};
local number = 0;
local mapping = assert(loadfile(directory .. "/mapping.lib.lua"))().new {
	new_id = function () number = number + 1; return ("boot-%x"):format(number); end;
	now_ms = function () return client:now_ms(); end;
	is_contact = function () return false; end, has_item = function () return false; end;
	is_subscribed = function () return false; end, is_pending_out = function () return false; end;
	is_pending_in = function () return false; end, user_exists = function () return true; end;
	is_local = function () return true; end, is_local_room_host = function () return false; end;
	blocklist = function () return {}; end;
};

local wall, cpu = {}, {};
for i = 1, 20000 do
	local peer = ("ben%d@example.org"):format(i % 500);
	local stanza = st.message({ to = peer, type = "chat", id = tostring(i) }, ("x"):rep(20 + i % 200));
	local began, clock = time.monotonic(), os.clock();
	for _, act in ipairs(mapping:message(stanza, "ann@example.org")) do
		client:needs_asking(act.event.account, act.opens);
		mapping:done(act);
		client:tell(act.event);
	end
	wall[i], cpu[i] = (time.monotonic() - began) * 1e6, (os.clock() - clock) * 1e6;
	-- Timers run between stanzas.
	if i % 10 == 0 then client:write_lines(); end
end
for name, values in pairs { wall = wall, cpu = cpu } do
	table.sort(values);
	print(("%-4s p50 %.1f us  p99 %.1f us"):format(name, values[#values // 2], values[#values * 99 // 100]));
end
