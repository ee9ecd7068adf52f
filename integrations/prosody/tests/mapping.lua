-- Runs the cases of a golden file and a list of elements through the mapping, with Prosody's own libraries; prints
-- what differs. Arguments: Prosody's source directory, the module's directory, the two files.

local source, directory, golden, elements = arg[1], arg[2], arg[3], arg[4];
package.path = source .. "/?.lua;" .. package.path;
package.cpath = source .. "/?.so;" .. package.cpath;
assert(loadfile(source .. "/loader.lua"))("loader");

local json = require "util.json";
local xml = require "util.xml";
local library = assert(loadfile(directory .. "/mapping.lib.lua"))();
local new = library.new;

local USERS = { ["ann@example.org"] = true, ["ben@example.org"] = true, ["cid@example.org"] = true };

local function includes(list, value)
	for _, one in ipairs(list or {}) do if one == value then return true; end end
	return false;
end

local function new_mapping(case)
	local scene = { rosters = case.rosters or {}, pending = case.pending or {}, now = 0, blocked = {}, n = 0 };
	local function item(owner, jid) return scene.rosters[owner] and scene.rosters[owner][jid]; end
	scene.mapping = new {
		new_id = function () scene.n = scene.n + 1; return "e" .. scene.n; end;
		now_ms = function () return scene.now; end;
		is_contact = function (owner, jid) return item(owner, jid) ~= nil; end;
		has_item = function (owner, jid) return item(owner, jid) ~= nil; end;
		is_subscribed = function (owner, jid)
			local found = item(owner, jid);
			return found and (found.subscription == "to" or found.subscription == "both") or false;
		end;
		is_pending_out = function (owner, jid) local found = item(owner, jid); return found and found.ask ~= nil or false; end;
		is_pending_in = function (owner, jid) return includes(scene.pending[owner], jid); end;
		user_exists = function (jid) return USERS[jid] or false; end;
		is_local = function (host) return host == "example.org"; end;
		is_local_room_host = function (host) return host == "rooms.example.org"; end;
		occupant = function (jid) return jid == "r@rooms.example.org/ben" and "ben@example.org" or nil; end;
		pseudonym = function (jid) return "occupant:" .. #jid; end;
		blocklist = function () return scene.blocked; end;
	};
	return scene;
end

local hooks = {};
function hooks.message(m, step, stanza) return m:message(stanza, step.from, step.origin); end
function hooks.iq(m, step, stanza) return m:iq(stanza, step.from, step.origin); end
function hooks.presence(m, step, stanza) return m:presence(stanza, step.from, step.origin); end
function hooks.roster(m, step, stanza) return m:roster(stanza, step.from); end
function hooks.blocking(m, step, stanza) return m:blocking(stanza, step.from); end
function hooks.bounce(m, _, stanza) return m:bounce(stanza); end
function hooks.archive(m, step, stanza) m:archive(stanza, step.from, step.archive_id); return {}; end
function hooks.registered(m, step) return { m:registered(step.from, step.ip) }; end
function hooks.session(m, step) return { m:session(step.from, step.ip) }; end
function hooks.deleted(m, step) return { m:deleted(step.from) }; end
function hooks.room_created(m, step) return { m:room_created(step.from, step.room, step.origin) }; end
function hooks.room_joined(m, step) return m:room_joined(step.from, step.room, step.origin); end
function hooks.room_left(m, step) return { m:room_left(step.from, step.room, step.origin) }; end
function hooks.room_invitations(m, step, stanza) return m:room_invitations(stanza, step.from, step.room, step.origin); end
function hooks.room_message(m, step, stanza)
	local function newcomer() return step.joined_s, step.others; end
	return m:room_message(stanza, step.from, step.room, step.recipients, step.origin, step.others and newcomer);
end
function hooks.room_private(m, step, stanza) return m:room_private(stanza, step.from, step.peer, step.origin); end

local function sorted(value)
	if type(value) ~= "table" then return json.encode(value); end
	if value[1] ~= nil or next(value) == nil then
		local parts = {};
		for i, one in ipairs(value) do parts[i] = sorted(one); end
		return "[" .. table.concat(parts, ",") .. "]";
	end
	local names, parts = {}, {};
	for name in pairs(value) do names[#names + 1] = name; end
	table.sort(names);
	for i, name in ipairs(names) do parts[i] = name .. "=" .. sorted(value[name]); end
	return "{" .. table.concat(parts, ",") .. "}";
end

local cases, wrong = 0, 0;
for line in io.lines(golden) do
	local case = assert(json.decode(line));
	cases = cases + 1;
	local scene = new_mapping(case);
	for number, step in ipairs(case.steps) do
		scene.now, scene.blocked = step.at_ms or scene.now, step.blocked or {};
		if step.pending then scene.pending = step.pending; end
		local stanza = step.stanza ~= "" and assert(xml.parse(step.stanza)) or nil;
		local events, opens = {}, {};
		for i, act in ipairs(hooks[step.hook](scene.mapping, step, stanza)) do
			scene.mapping:done(act);
			act.event.ts = nil;
			events[i] = act.event;
			if act.opens then opens[#opens + 1] = i - 1; end
		end
		local found, wanted = sorted { events, opens }, sorted { step.events, step.opens };
		if found ~= wanted or found:find("CANARY", 1, true) then
			wrong = wrong + 1;
			print(("%s, step %d:\n  wanted %s\n  found  %s"):format(case.name, number, wanted, found));
		end
	end
end
print(("%d cases, %d steps differ"):format(cases, wrong));

local rows, differ, harmless, known = 0, 0, {}, {};
for line in io.lines(elements) do
	local row = assert(json.decode(line));
	rows = rows + 1;
	local stanza = assert(xml.parse(("<%s xmlns='jabber:client'%s>%s</%s>"):format(row.stanza, row.stanza == "iq" and " type='set'" or "", row.xml, row.stanza)));
	local name = ("%s %s %s"):format(row.stanza, row.ns, row.name);
	if row.harmless and not known[name] then harmless[#harmless + 1], known[name] = name, true; end
	if library.is_visible(stanza) == row.harmless then
		differ = differ + 1;
		print(("%s is %s"):format(row.xml, row.harmless and "harmless" or "shown"));
	end
end
table.sort(harmless);
if sorted(harmless) ~= sorted(library.harmless) then
	differ = differ + 1;
	print(("harmless:\n  wanted %s\n  found  %s"):format(sorted(harmless), sorted(library.harmless)));
end
print(("%d elements, %d differ"):format(rows, differ));
os.exit(wrong == 0 and cases > 0 and differ == 0 and rows > 0);
