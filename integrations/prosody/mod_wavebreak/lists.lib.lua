-- Outside lists (XMPP real-time block lists): read here, where plain addresses are, and compared with who acts. Wavebreak
-- is told of hits, never of a list; what it convicted is published as such a list.
--
-- Copyright (C) 2026 the Wavebreak authors
-- This project is MIT licensed. See README.md.

local async = require "util.async";
local cache = require "util.cache";
local hashes = require "util.hashes";
local id = require "util.id";
local jid_lib = require "util.jid";
local json = require "util.json";
local st = require "util.stanza";

local PUBSUB, EVENT, RSM = "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/pubsub#event", "http://jabber.org/protocol/rsm";
local META, REPORTING = "https://xmppbl.org/meta/v1", "urn:xmpp:reporting:1";
local FETCH_S, UNSUBSCRIBED_S, RETRY_S, RETRY_MAX_S, PAGES = 600, 45, 5, 600, 1000;
local PUBLISH_S = 30;
local GROWTH, GROWTH_FROM, DAY_S = 0.2, 30, 86400;
local SEND_TIMEOUT_S = 20;

local lists = {};
local lists_mt = { __index = lists };

local function sha256(text) return hashes.sha256(text, true); end

-- `options`: lists (name → "service/node"), host (which subscribes), key (of the scope `list`), publish
-- ("service/node" or nil), request (as the client's), send_iq(host, stanza) (a promise), pubsub(host) (the service of a
-- host here, or nil), store(host) (get and set of a name), own (domains and JIDs that no list may name), log, add_task, now,
-- timeout.
local function new(options)
	local self = setmetatable({
		options = options, log = options.log, by_name = {}, hashes_of = cache.new(20000);
		queue = {}, published = {}, started = false;
	}, lists_mt);
	for name, place in pairs(options.lists) do
		local service, node = place:match("^([^/]+)/(.+)$");
		if not service or not name:match("^[a-z0-9._-]+$") or #name > 64 then
			error(("wavebreak_lists: %s = %q; write name = \"service/node\", the name of a-z, 0-9, dot, dash"):format(name, place), 0);
		end
		-- entries: hash → { entry, advice, since_ms, at }; told: entry → who → { as, since_ms, day, gone_ms }.
		self.by_name[name] = {
			name = name, service = service, node = node, entries = {}, count = 0, loaded = false, subscribed = false, failures = 0;
			told = {}, paused = false;
		};
	end
	return self;
end

function lists:is_empty() return next(self.options.lists) == nil and not self.options.publish; end

local function today(now) return os.date("!%Y-%m-%d", math.floor(now)); end

function lists:keep(list)
	self.options.store(self.options.host):set(list.name, { told = list.told, day = list.day, base = list.base, paused = list.paused });
end

-- What the list says, and the hash that it means. Hashes are of a bare JID or a domain; other lists have these plain.
function lists:read(item)
	local entry = item.attr.id;
	if not entry or entry:find("*", 1, true) then return nil; end
	local plain = not entry:match("^%x+$") or #entry ~= 64;
	local jid = plain and jid_lib.prep(entry);
	if plain and not jid then return nil; end
	local report = item:get_child("report", REPORTING);
	local meta = report and report:get_child("meta", META) or item:get_child("meta", META);
	local said = meta and meta:get_child("recommendations");
	local advice = said and said:get_child("block-strangers") and "delay" or "refuse";
	return plain and sha256(jid) or entry:lower(), plain and sha256(entry) or entry:lower(), advice;
end

-- A list names neither this server nor its people in charge, and what it has from us is no second opinion.
function lists:is_refused(hash)
	if self.published[hash] then return true; end
	for one in pairs(self.options.own()) do if sha256(one) == hash then return true; end end
	return false;
end

function lists:add(list, item)
	local hash, entry, advice = self:read(item);
	if not hash then return nil; end
	local known = list.entries[hash];
	if known then known.advice = advice; return hash; end
	if self:is_refused(hash) then
		self.log("warn", "The list %s names this server, its operators or what it has from here: that entry is not used", list.name);
		return hash;
	end
	list.entries[hash], list.count = { entry = entry, advice = advice }, list.count + 1;
	return hash;
end

-- A list that grows by more than a fifth within a day tells nothing new until an administrator has looked at it. Its size
-- is compared before a new day begins from it: a list that grows at midnight has grown as well.
function lists:watch_growth(list)
	local day = today(self.options.now());
	if list.base and list.count > math.max(list.base * (1 + GROWTH), list.base + GROWTH_FROM) then
		if not list.paused then
			self.log("error", "The list %s has grown from %d to %d entries since %s: it tells nothing new until you run `wavebreak:resume_list('%s')`",
				list.name, list.base, list.count, list.day, list.name);
		end
		list.paused = true;
	elseif list.day ~= day then
		list.base, list.day = list.count, day;
	end
	self:keep(list);
end

function lists:resume(name)
	local list = self.by_name[name];
	if not list then return false; end
	list.paused, list.base, list.day = false, list.count, today(self.options.now());
	self:keep(list);
	return true;
end

-- Hits

local function event_id(...)
	return "list:" .. sha256(table.concat({ ... }, "\n")):sub(1, 40);
end

function lists:now_ms() return math.floor(self.options.now() * 1000); end

function lists:listed_event(list, entry, advice, who, told, again)
	local time = tostring(told.since_ms) .. (again and ":" .. told.day or "");
	return {
		id = event_id("account.listed", list.name, entry, who, time), ts = self:now_ms(), type = "account.listed";
		[told.as] = who, list = list.name, entry = entry, advice = advice;
	};
end

function lists:unlisted_event(list, entry, who, told)
	return {
		id = event_id("account.unlisted", list.name, entry, who, tostring(told.gone_ms)), ts = self:now_ms(), type = "account.unlisted";
		[told.as] = who, list = list.name, entry = entry;
	};
end

-- Queue what an account's hits are told as, once and then once a day; whether any of it is new.
function lists:note_hits(jid)
	if next(self.by_name) == nil then return false; end
	local both = self.hashes_of:get(jid);
	if not both then
		local host = jid_lib.host(jid);
		both = { { "account", jid, sha256(jid) }, { "origin", host, host and sha256(host) } };
		self.hashes_of:set(jid, both);
	end
	local is_new = false;
	for _, list in pairs(self.by_name) do
		for _, one in ipairs(both) do
			local found = list.entries[one[3]];
			if found and not list.paused then is_new = self:note_hit(list, found, one[1], one[2]) or is_new; end
		end
	end
	return is_new;
end

function lists:note_hit(list, found, as, who)
	local by_entry = list.told[found.entry] or {};
	list.told[found.entry] = by_entry;
	local told, day = by_entry[who], today(self.options.now());
	if told and not told.gone_ms and told.day == day then return false; end
	local again = told ~= nil and not told.gone_ms;
	told = { as = as, since_ms = again and told.since_ms or self:now_ms(), day = day };
	by_entry[who] = told;
	self:keep(list);
	self:tell(self:listed_event(list, found.entry, found.advice, who, told, again));
	return not again;
end

-- An entry that its keeper withdrew: whoever it named is told as named no more.
function lists:withdraw(list, hash)
	local found = list.entries[hash];
	if found then list.entries[hash], list.count = nil, list.count - 1; end
	self:withdraw_told(list, found and found.entry or hash);
end

function lists:withdraw_told(list, entry)
	for who, told in pairs(list.told[entry] or {}) do
		if not told.gone_ms then
			told.gone_ms = self:now_ms();
			self:tell(self:unlisted_event(list, entry, who, told), function ()
				local by_entry = list.told[entry];
				if by_entry and by_entry[who] == told then by_entry[who] = nil; end
				if by_entry and next(by_entry) == nil then list.told[entry] = nil; end
				self:keep(list);
			end);
		end
	end
	self:keep(list);
end

-- To Wavebreak: in order, until it takes them. What is lost in a crash is told anew: an id counts once.

function lists:tell(event, taken)
	self.queue[#self.queue + 1] = { event = event, taken = taken };
	self:send();
end

function lists:send()
	if self.sending or #self.queue == 0 then return; end
	self.sending = true;
	local batch, lines = self.queue, {};
	self.queue = {};
	for i, one in ipairs(batch) do lines[i] = json.encode(one.event) .. "\n"; end
	self.options.request("POST", "/v1/events", {
		body = table.concat(lines), timeout = SEND_TIMEOUT_S, key = self.options.key();
		headers = { ["Content-Type"] = "application/x-ndjson", ["Idempotency-Key"] = id.long() };
	}, function (code, answer)
		self.sending = false;
		local waiting = self.waiting or {};
		self.waiting = nil;
		if code == 202 then
			local refused = json.decode(answer or "");
			if type(refused) == "table" and (tonumber(refused.refused_total) or 0) > 0 then
				self.log("error", "Wavebreak refuses what a list says: make wavebreak_list_key with the scope list alone, and --allow-identifiers");
			end
			for _, one in ipairs(batch) do if one.taken then one.taken(); end end
			self.send_failures = 0;
			if #self.queue > 0 then self:send(); end
		else
			if code == 401 or code == 403 then
				self.log("error", "Wavebreak refuses the key of the lists (%d): set wavebreak_list_key to one with the scope list alone", code);
			end
			for _, one in ipairs(self.queue) do batch[#batch + 1] = one; end
			self.queue = batch;
			self.send_failures = (self.send_failures or 0) + 1;
			self.options.add_task(math.min(RETRY_S * 2 ^ self.send_failures, 60), function () self:send(); end);
		end
		for _, done in ipairs(waiting) do done(); end
	end);
end

-- Before an account's first act is asked about, Wavebreak has its hit, or the time for an answer is over.
function lists:before(jid)
	if not self:note_hits(jid) or not self.sending or not async.ready() then return; end
	local wait, done = async.waiter();
	local over = false;
	local function finish() if not over then over = true; done(); end end
	self.waiting = self.waiting or {};
	table.insert(self.waiting, finish);
	self.options.add_task(self.options.timeout, finish);
	wait();
end

-- From the list's service

function lists:iq(list, kind, make)
	local query = st.iq({ type = kind, to = list.service, from = self.options.host .. "/wavebreak", id = id.short() }):tag("pubsub", { xmlns = PUBSUB });
	make(query);
	return self.options.send_iq(self.options.host, query);
end

function lists:later(list, seconds)
	list.turn = (list.turn or 0) + 1;
	local turn = list.turn;
	self.options.add_task(seconds, function () if list.turn == turn and self.started then self:fetch(list); end end);
end

function lists:failed(list, what)
	list.failures = list.failures + 1;
	self.log(list.failures == 3 and "warn" or "info", "The list %s: %s; what is known of it stays", list.name, what);
	self:later(list, math.min(RETRY_S * 2 ^ (list.failures - 1), RETRY_MAX_S));
end

-- Subscribe, then read the whole node, page by page: what is not there any more has been withdrawn meanwhile.
function lists:fetch(list)
	list.turn = (list.turn or 0) + 1;
	self:iq(list, "set", function (query)
		query:tag("subscribe", { node = list.node, jid = self.options.host .. "/wavebreak" });
	end):next(function () list.subscribed = true; end, function () list.subscribed = false; end)
		:next(function () self:fetch_page(list, nil, {}, 1); end);
end

function lists:fetch_page(list, after, seen, page)
	local began = list.turn;
	self:iq(list, "get", function (query)
		query:tag("items", { node = list.node }):up();
		if after then query:tag("set", { xmlns = RSM }):tag("max"):text("250"):up():tag("after"):text(after):up(); end
	end):next(function (event)
		if list.turn ~= began then return; end
		local reply = event.stanza:get_child("pubsub", PUBSUB);
		local items = reply and reply:get_child("items");
		if not items then return self:failed(list, "an answer without items"); end
		local count = 0;
		for item in items:childtags("item") do
			count = count + 1;
			local hash = self:add(list, item);
			if hash then seen[hash] = true; end
		end
		local set = reply:get_child("set", RSM);
		local last, total = set and set:get_child_text("last"), set and tonumber(set:get_child_text("count"));
		local had = page == 1 and count or nil;
		list.had = had or (list.had or 0) + count;
		if last and last ~= after and count > 0 and page < PAGES and (not total or list.had < total) then
			return self:fetch_page(list, last, seen, page + 1);
		end
		self:fetched(list, seen);
	end, function (err)
		if list.turn == began then self:failed(list, tostring(err and (err.text or err.condition) or "no answer")); end
	end);
end

function lists:fetched(list, seen)
	list.failures, list.loaded = 0, true;
	local gone, named = {}, {};
	for hash, found in pairs(list.entries) do
		if seen[hash] then named[found.entry] = true; else gone[#gone + 1] = hash; end
	end
	for _, hash in ipairs(gone) do self:withdraw(list, hash); end
	-- Withdrawn while this server was down.
	for entry in pairs(list.told) do if not named[entry] then self:withdraw_told(list, entry); end end
	self:watch_growth(list);
	self:later(list, list.subscribed and FETCH_S or UNSUBSCRIBED_S);
end

-- A message of a list's service: an item, a retraction, a purge. Others are none of ours.
function lists:heard(stanza)
	local event = stanza:get_child("event", EVENT);
	if not event then return false; end
	local is_ours = false;
	for _, list in pairs(self.by_name) do
		for _, part in ipairs(event.tags) do
			if stanza.attr.from == list.service and part.attr.node == list.node then
				is_ours = true;
				self:heard_part(list, part);
			end
		end
	end
	return is_ours;
end

function lists:heard_part(list, part)
	if part.name == "purge" then
		local all = {};
		for hash in pairs(list.entries) do all[#all + 1] = hash; end
		for _, hash in ipairs(all) do self:withdraw(list, hash); end
		for entry in pairs(list.told) do self:withdraw_told(list, entry); end
	elseif part.name == "items" then
		for item in part:childtags("item") do self:add(list, item); end
		for item in part:childtags("retract") do
			local hash = self:read(item);
			if hash then self:withdraw(list, hash); end
		end
		if list.loaded then self:watch_growth(list); end
	elseif part.name == "delete" then
		self:failed(list, "its node is gone");
	end
end

-- A connection to the service that ended may have lost what it had to say.
function lists:gap(domain)
	for _, list in pairs(self.by_name) do
		if list.service == domain and list.loaded then self:later(list, RETRY_S); end
	end
end

-- What Wavebreak convicted, as a list of this server's.

function lists:service_of_publication()
	local service, node = self.options.publish:match("^([^/]+)/(.+)$");
	local pubsub = service and self.options.pubsub(service);
	if not pubsub then
		self.log("error", "wavebreak_publish_list is %q: there is no pubsub component of that name here", self.options.publish);
		return nil;
	end
	local has = pubsub:get_node_config(node, true);
	if not has then
		local ok, err = pubsub:create(node, true, { persist_items = true, max_items = "max", access_model = "open", publish_model = "publishers" });
		if not ok then self.log("error", "The list of own convictions cannot be made: %s", tostring(err)); return nil; end
	end
	return pubsub, node;
end

function lists:publish_later() self.options.add_task(PUBLISH_S, function () if self.started then self:publish(); end end); end

function lists:publish()
	self.options.request("GET", "/v1/lists/convicted", {
		timeout = SEND_TIMEOUT_S, key = self.options.key(), headers = { ["If-None-Match"] = self.etag };
	}, function (code, body, response)
		if not self.started then return; end
		local answer = code == 200 and json.decode(body or "");
		if type(answer) == "table" and type(answer.items) == "table" then
			local pubsub, node = self:service_of_publication();
			if pubsub then
				self:publish_items(pubsub, node, answer.items);
				self.etag = response and response.headers and response.headers.etag;
			end
		end
		-- Where it cannot be asked, what is published stays.
		self:publish_later();
	end);
end

function lists:publish_items(pubsub, node, items)
	local wanted = {};
	for _, item in ipairs(items) do
		if type(item.hash) == "string" then wanted[item.hash:lower()] = true; end
	end
	local ok, there = pubsub:get_items(node, true);
	local had = {};
	for _, hash in ipairs(ok and there or {}) do had[hash] = true; end
	for hash in pairs(wanted) do
		if not had[hash] then
			local item = st.stanza("item", { xmlns = PUBSUB, id = hash }):tag("report", { xmlns = REPORTING, reason = "urn:xmpp:reporting:spam" })
				:tag("meta", { xmlns = META }):tag("recommendations"):tag("block-strangers"):reset();
			local done, err = pubsub:publish(node, true, hash, item);
			if not done then self.log("error", "A conviction cannot be published: %s", tostring(err)); end
		end
	end
	for hash in pairs(had) do
		if not wanted[hash] then
			pubsub:retract(node, true, hash, st.stanza("retract", { id = hash }));
		end
	end
	self.published = wanted;
end

function lists:start()
	if self.started or self:is_empty() then return; end
	self.started = true;
	if not self.options.key() then
		self.log("error", "wavebreak_list_key is not set: make one with `wavebreak key create`, with the scope list alone");
	end
	for name, list in pairs(self.by_name) do
		local kept = self.options.store(self.options.host):get(name) or {};
		list.told, list.day, list.base, list.paused = kept.told or {}, kept.day, kept.base, kept.paused or false;
		-- What could not be told before this server ended.
		for entry, by_entry in pairs(list.told) do
			for _, told in pairs(by_entry) do told.gone_ms = nil; end
			if next(by_entry) == nil then list.told[entry] = nil; end
		end
		self:fetch(list);
	end
	if self.options.publish then self:publish(); end
end

function lists:stop() self.started = false; end

-- One line a list, for the shell.
function lists:lines()
	local found = {};
	for name, list in pairs(self.by_name) do
		local told = 0;
		for _, by_entry in pairs(list.told) do for _ in pairs(by_entry) do told = told + 1; end end
		found[#found + 1] = ("%s: %d entries, %d hits told%s%s"):format(name, list.count, told,
			list.subscribed and "" or ", not subscribed", list.paused and ", paused: it grew too fast" or "");
	end
	table.sort(found);
	return found;
end

return { new = new };
