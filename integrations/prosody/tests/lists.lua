-- Cases of an outside list's growth, without a server; prints the cases that fail.
-- Arguments: Prosody's source directory, the module's directory.

local source, directory = arg[1], arg[2];
package.path = source .. "/?.lua;" .. package.path;
package.cpath = source .. "/?.so;" .. package.cpath;
assert(loadfile(source .. "/loader.lua"))("loader");

local st = require "util.stanza";
local new_lists = assert(loadfile(directory .. "/lists.lib.lua"))().new;

local LATE, EARLY = os.time { year = 2026, month = 1, day = 1, hour = 23, min = 59, sec = 50 }, 15;

-- A list of 100 entries at ten to midnight that has `size` of them after some seconds: whether it is paused, and its base.
local function grow(size, seconds, paused)
	local now, kept = LATE, {};
	local lists = new_lists {
		lists = { bl = "bl.example/n" }, own = function () return {}; end, log = function () end, now = function () return now; end;
		store = function () return { set = function (_, name, value) kept[name] = value; end }; end;
	};
	local list = lists.by_name.bl;
	local function send(first, last)
		local message = st.message({ from = "bl.example" }):tag("event", { xmlns = "http://jabber.org/protocol/pubsub#event" }):tag("items", { node = "n" });
		for number = first, last do message:tag("item", { id = ("n%d@spam.example"):format(number) }):up(); end
		assert(lists:heard(message:reset()));
	end
	list.loaded = true;
	send(1, 100);
	list.paused = paused;
	now = now + seconds;
	send(101, size);
	return kept.bl.paused, kept.bl.base;
end

local cases = {
	{ "growth at midnight pauses", 10100, EARLY, false, true, 100 };
	{ "growth within the day pauses", 140, 5, false, true, 100 };
	{ "small growth begins a new day", 110, EARLY, false, false, 110 };
	{ "small growth within the day keeps the base", 110, 5, false, false, 100 };
	{ "a new day does not resume", 110, EARLY, true, true, 110 };
};
local failures = 0;
for _, case in ipairs(cases) do
	local name, size, seconds, paused_before, paused, base = table.unpack(case);
	local is_paused, base_after = grow(size, seconds, paused_before);
	if is_paused ~= paused or base_after ~= base then
		failures = failures + 1;
		print(("%s: paused %s, base %s"):format(name, tostring(is_paused), tostring(base_after)));
	end
end
print(("%d cases, %d fail"):format(#cases, failures));
os.exit(failures == 0);
