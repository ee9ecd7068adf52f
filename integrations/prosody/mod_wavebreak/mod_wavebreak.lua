-- Sends what a server sees of its accounts to Wavebreak, without any content, and refuses what
-- Wavebreak's decisions refuse.
--
-- Copyright (C) 2026 the Wavebreak authors
-- This project is MIT licensed. See README.md.

module:set_global();

local async = require "util.async";
local cache = require "util.cache";
local datetime = require "util.datetime";
local hashes = require "util.hashes";
local http = require "net.http";
local id = require "util.id";
local jid_lib = require "util.jid";
local paths = require "util.paths";
local rostermanager = require "core.rostermanager";
local st = require "util.stanza";
local time = require "util.time";
local timer = require "util.timer";
local usermanager = require "core.usermanager";

local client_library = module:require "client";
local new_client, is_calm = client_library.new, client_library.is_calm;
local mapping_lib = module:require "mapping";
local new_lists = module:require "lists".new;

local jid_bare, jid_host, jid_resource, jid_split = jid_lib.bare, jid_lib.host, jid_lib.resource, jid_lib.split;
local hosts = prosody.hosts;
local monotonic = time.monotonic or time.now;

local mode = module:get_option_string("wavebreak_mode", "shadow");
local ask = module:get_option_string("wavebreak_ask", "new_chats");
local contacts = module:get_option_boolean("wavebreak_contacts", true);
local receipts = module:get_option_boolean("wavebreak_receipts", true);
local remote = module:get_option_boolean("wavebreak_remote", true);
local silence = module:get_option_boolean("wavebreak_silence", false);
local on_failure = module:get_option("wavebreak_on_failure", {});
local notice = module:get_option("wavebreak_notice", {});
local exempt = module:get_option_set("wavebreak_exempt", {});
local requests = module:get_option_string("wavebreak_requests", "hold");
local only_contacts = module:get_option_boolean("wavebreak_only_contacts", false);
local forwarded = module:get_option_set("wavebreak_forward_reports", {});
local taken_back = module:get_option_set("wavebreak_take_back", { "requests", "undelivered" });

local function check(name, value, ...)
	for _, allowed in ipairs { ... } do if value == allowed then return; end end
	error(("%s is %q; set it to one of: %s"):format(name, tostring(value), table.concat({ ... }, ", ")), 0);
end
check("wavebreak_mode", mode, "shadow", "enforce");
check("wavebreak_requests", requests, "hold", "deliver");
for name in taken_back do check("wavebreak_take_back", name, "requests", "undelivered"); end
check("wavebreak_ask", ask, "new_chats", "always", "never");
check("wavebreak_on_failure.registration", on_failure.registration or "closed", "open", "closed");
check("wavebreak_on_failure.messaging", on_failure.messaging or "open", "open", "closed");

local function get_url()
	local url = module:get_option_string("wavebreak_url", "http://127.0.0.1:8480"):gsub("/+$", "");
	local scheme, host = url:match("^(https?)://%[?([^/%]]+)");
	if not scheme then error(("wavebreak_url is %q; set it to http://127.0.0.1:8480 or an https URL"):format(url), 0); end
	host = host:gsub(":%d+$", "");
	if scheme == "http" and host ~= "localhost" and not host:match("^127%.") and host ~= "::1" then
		module:log("warn", "wavebreak_url is not https: whoever reads this network reads the key and who writes to whom");
	end
	return url;
end

-- Where an event may be asked about: acts that an answer can refuse.
local ASKED = {
	["account.registered"] = true, ["message.sent"] = true, ["contact.requested"] = true;
	["group.created"] = true, ["group.member_added"] = true, ["call.started"] = true;
};

local TEXTS = {
	en = {
		refused = "This is not possible from your account at the moment. Try again later, or ask the operator of this server.";
		unavailable = "This is not possible for a moment. Try again later.";
		request = "A first message of this account waits for you. Do you know this person? Accept to read it; decline if you do not.";
		closed = "This person takes messages, calls and invitations from contacts alone. Ask to become a contact first.";
		command = "Let only contacts write to me, or everybody again";
		closes = "From now on only your contacts can write to you, call or invite you. Others can ask to become one.";
		opens = "From now on everybody can write to you.";
		mentions = "In rooms that you have just joined you cannot mention many people at once for now. Without mentioning everyone you can write there; all other chats go on.";
		moderators = "%s is new in the room %s, mentioned many people at once again and again or was reported for it, and now cannot for a while. Other messages of this account still arrive: whether it stays in the room is for you to decide.";
		restrict = "Your account cannot start new chats or groups{until}. Chats that you have already go on.";
		suspend = "Your account is suspended{until}. You can read, but not send.";
		ban = "Your account is blocked{until}.";
		["until"] = " until %s UTC";
	};
	he = {
		refused = "הפעולה אינה אפשרית כרגע מהחשבון שלך. אפשר לנסות שוב מאוחר יותר או לפנות למפעיל השרת.";
		unavailable = "הפעולה אינה אפשרית לרגע. אפשר לנסות שוב מאוחר יותר.";
		request = "הודעה ראשונה מחשבון זה ממתינה לך. האם השולח מוכר לך? אישור יציג אותה, וסירוב ידחה אותה.";
		closed = "האדם הזה מקבל הודעות, שיחות והזמנות מאנשי קשר בלבד. אפשר לבקש קודם להתווסף לאנשי הקשר.";
		closes = "מעכשיו רק אנשי הקשר שלך יכולים לכתוב, להתקשר ולהזמין אותך. אחרים יכולים לבקש להתווסף.";
		opens = "מעכשיו כולם יכולים לכתוב לך.";
		mentions = "בחדרים שהצטרפת אליהם זה עתה אי אפשר כרגע להזכיר אנשים רבים בבת אחת. בלי לאזכר את כולם אפשר לכתוב שם; כל יתר השיחות ממשיכות.";
		moderators = "החשבון %s חדש בחדר %s, הזכיר שם אנשים רבים בבת אחת שוב ושוב או שדווח על כך, ולעת עתה אינו יכול לעשות זאת. הודעות אחרות שלו ממשיכות להגיע: ההחלטה אם יישאר בחדר היא שלך.";
		restrict = "החשבון שלך אינו יכול לפתוח שיחות או קבוצות חדשות{until}. שיחות קיימות ממשיכות.";
		suspend = "החשבון שלך מושעה{until}. אפשר לקרוא, אך לא לשלוח.";
		ban = "החשבון שלך חסום{until}.";
		["until"] = " עד %s (UTC)";
	};
};

local function language(stanza, session)
	local lang = stanza and stanza.attr["xml:lang"] or session and session.wavebreak_language or "en";
	lang = lang:lower():match("^%a+");
	return (lang == "he" or lang == "iw") and "he" or "en";
end

local function option_text(lang)
	return type(notice) == "string" and notice or notice[lang];
end

-- Context of the mapping: what this server knows of rosters and accounts.

local function local_node(jid)
	local node, host = jid_split(jid);
	local session = host and hosts[host];
	if node and session and session.type == "local" then return node, host; end
end

local function roster_item(owner, jid)
	local node, host = local_node(owner);
	if not node then return nil; end
	local roster = rostermanager.load_roster(node, host);
	return roster and roster[jid], roster;
end

local boot, sequence = id.medium(), 0;
local client;

local mapping = mapping_lib.new {
	new_id = function ()
		sequence = sequence + 1;
		return ("%s-%x"):format(boot, sequence);
	end;
	now_ms = function () return client:now_ms(); end;
	is_contact = function (owner, jid) return roster_item(owner, jid) ~= nil; end;
	has_item = function (owner, jid) return roster_item(owner, jid) ~= nil; end;
	is_subscribed = function (owner, jid)
		local item = roster_item(owner, jid);
		return item and (item.subscription == "to" or item.subscription == "both") or false;
	end;
	is_pending_out = function (owner, jid)
		local item = roster_item(owner, jid);
		return item and item.ask ~= nil or false;
	end;
	is_pending_in = function (owner, jid)
		local _, roster = roster_item(owner, jid);
		local metadata = roster and roster[false];
		return metadata and metadata.pending and metadata.pending[jid] ~= nil or false;
	end;
	user_exists = function (jid)
		local node, host = local_node(jid);
		return node and usermanager.user_exists(node, host);
	end;
	is_local = function (host) return hosts[host] and hosts[host].type == "local" or false; end;
	is_local_room_host = function (host) return hosts[host] and hosts[host].type == "component" or false; end;
	occupant = function (jid)
		local muc = hosts[jid_host(jid)].modules.muc;
		local room = muc and muc.get_room_from_jid(jid_bare(jid));
		local occupant = room and room:get_occupant_by_nick(jid);
		return occupant and occupant.bare_jid;
	end;
	-- By a key of this server: nobody else can try nicknames.
	pseudonym = function (jid) return "occupant:" .. hashes.hmac_sha256(client.options.key or "", jid, true); end;
	blocklist = function (owner)
		local node, host = local_node(owner);
		local listed = {};
		if node then
			local stored = module:context(host):open_store("blocklist"):get(node);
			for jid in pairs(stored or {}) do if jid then listed[#listed + 1] = jid; end end
		end
		return listed;
	end;
};

-- A store of each host, opened once.
local function stores_of(name)
	local stores = {};
	return function (host)
		local store = stores[host];
		if not store then
			store = module:context(host):open_store(name);
			stores[host] = store;
		end
		return store;
	end
end

-- A ban disables the account; only what this module disabled is enabled again.
local disabled_store = stores_of("wavebreak_disabled");

local watched_hosts = {};

local function is_exempt(jid, session)
	if exempt:empty() then return false; end
	local node, host = jid_split(jid);
	if exempt:contains(jid) or exempt:contains(host) then return true; end
	local role = session and session.role;
	if node and not role and hosts[host] and usermanager.get_user_role then role = usermanager.get_user_role(node, host) or nil; end
	return role and exempt:contains("role:" .. role.name) or false;
end

local function enforce_ban(state, node, host)
	if not usermanager.disable_user then return; end
	local store = disabled_store(host);
	if state.outcome == "ban" then
		if is_exempt(state.account) or not usermanager.user_exists(node, host) or store:get(node) then return; end
		if usermanager.user_is_enabled(node, host) == false then return; end
		local ok, err = usermanager.disable_user(node, host, { reason = "ban", comment = "wavebreak" });
		if ok then store:set(node, { number = state.number }); else module:log("error", "An account cannot be disabled: %s", err); end
	elseif store:get(node) then
		local ok, err = usermanager.enable_user(node, host);
		if ok then store:set(node, nil); else module:log("error", "An account cannot be enabled again: %s", err); end
	end
end

-- Whom an account has written to, asked or invited as a stranger, and who has not answered: what waits there for them is
-- taken back after a verdict.

local MOST_REACHED = 500;

local reached_store = stores_of("wavebreak_reached");
local reached_cache = cache.new(20000); -- host, account → peer → since when, and the rooms it is invited to
local request_store = stores_of("wavebreak_requests");

local function reached_by(host, account)
	local key = host .. " " .. account;
	local peers = reached_cache:get(key);
	if not peers then
		peers = reached_store(host):get(account) or {};
		reached_cache:set(key, peers);
	end
	return peers;
end

local function keep_reached(host, account, peers)
	reached_store(host):set(account, next(peers) and peers or nil);
end

local REACHES = { ["message.sent"] = true, ["contact.requested"] = true };
local ANSWERS = { ["message.sent"] = true, ["contact.requested"] = true, ["contact.accepted"] = true };

local function note_reached(act)
	local event = act.event;
	if mode ~= "enforce" or not event.peer then return; end
	local node, host = local_node(event.peer);
	local invited = event.type == "group.member_added" and node and watched_hosts[host] and reached_by(host, event.account)[event.peer];
	if invited then
		-- A room names who invites by the nickname there.
		invited.rooms[event.group] = true;
		keep_reached(host, event.account, reached_by(host, event.account));
	end
	if not ANSWERS[event.type] then return; end
	node, host = local_node(event.account);
	if node and watched_hosts[host] then
		local peers = reached_by(host, event.peer);
		if peers[event.account] then
			peers[event.account] = nil;
			keep_reached(host, event.peer, peers);
		end
	end
	node, host = local_node(event.peer);
	if not act.opens or not REACHES[event.type] or not node or not watched_hosts[host] then return; end
	local peers, count = reached_by(host, event.account), 0;
	if peers[event.peer] then return; end
	for _ in pairs(peers) do count = count + 1; end
	if count >= MOST_REACHED then return; end
	peers[event.peer] = { since = os.time(), rooms = {} };
	keep_reached(host, event.account, peers);
end

-- Whether a message that waits is the account's: its own, or the invitation of a room that it invited to.
local function is_of(stanza, account, rooms)
	local from = jid_bare(stanza.attr.from);
	local x = stanza:get_child("x", "http://jabber.org/protocol/muc#user");
	return from == account or rooms[from] and x and x:get_child("invite") ~= nil;
end

-- Messages that wait for somebody who is offline, and their copies in that person's archive.
local function take_back_messages(node, host, account, rooms)
	local context = module:context(host);
	local waiting = context:open_store("offline", "archive");
	local mine, copies = {}, {};
	for key, stanza in waiting:find(node) or function () end do
		if is_of(stanza, account, rooms) then
			mine[#mine + 1] = key;
			for copy in stanza:childtags("stanza-id", "urn:xmpp:sid:0") do
				if copy.attr.by == node .. "@" .. host then copies[#copies + 1] = copy.attr.id; end
			end
		end
	end
	for _, key in ipairs(mine) do waiting:delete(node, { key = key }); end
	if #copies == 0 then return; end
	local archive = context:open_store(context:get_option_string("archive_store", "archive"), "archive");
	for _, key in ipairs(copies) do archive:delete(node, { key = key }); end
end

-- Requests that wait for an answer: of the account's own roster, those to other servers too.
local function take_back_own_requests(node, host, account)
	local asked = {};
	for jid, item in pairs(rostermanager.load_roster(node, host) or {}) do
		if jid and item.ask then asked[#asked + 1] = jid; end
	end
	for _, jid in ipairs(asked) do
		if rostermanager.unsubscribe(node, host, jid) then rostermanager.roster_push(node, host, jid); end
		module:context(host):send(st.presence { type = "unsubscribe", from = account, to = jid });
	end
end

local function take_back_request(node, host, account)
	local held = request_store(host):get(node);
	if held and held[account] and not held[account].declined then
		held[account] = nil;
		request_store(host):set(node, next(held) and held or nil);
	end
	if rostermanager.is_contact_pending_in(node, host, account) then
		module:context(host):send(st.presence { type = "unsubscribe", from = account, to = node .. "@" .. host });
	end
end

local function take_back(account)
	if taken_back:empty() then return; end
	for host in pairs(watched_hosts) do
		local peers = reached_by(host, account);
		if next(peers) then
			for peer, one in pairs(peers) do
				local node = jid_split(peer);
				if not roster_item(peer, account) then
					if taken_back:contains("requests") then take_back_request(node, host, account); end
					if taken_back:contains("undelivered") then take_back_messages(node, host, account, one.rooms); end
				end
			end
			reached_cache:set(host .. " " .. account, {});
			keep_reached(host, account, {});
		end
	end
	local node, host = local_node(account);
	if node and watched_hosts[host] and taken_back:contains("requests") then take_back_own_requests(node, host, account); end
end

local TAKES_BACK = { restrict = true, suspend = true, ban = true };

local function on_state(state)
	if mode ~= "enforce" then return; end
	local node, host = local_node(state.account);
	if node and watched_hosts[host] then enforce_ban(state, node, host); end
	if TAKES_BACK[state.outcome] and not is_exempt(state.account) then take_back(state.account); end
end

-- A lift that came while this server was down.
local function on_states_loaded()
	for host in pairs(watched_hosts) do
		local store, kept = disabled_store(host), {};
		for node in store:users() do kept[#kept + 1] = node; end
		for _, node in ipairs(kept) do
			local account = node .. "@" .. host;
			if client:state(account) ~= "ban" then on_state { account = account, outcome = "allow", number = 0 }; end
		end
	end
end

client = new_client {
	url = get_url(), key = module:get_option_string("wavebreak_key");
	timeout = module:get_option_number("wavebreak_timeout", 0.25);
	max_spooled = module:get_option_number("wavebreak_max_spooled", 1000000);
	directory = paths.join(prosody.paths.data, "wavebreak");
	log = function (level, ...) module:log(level, ...); end;
	http = http, add_task = timer.add_task, stop_task = timer.stop, now = time.now;
	on_state = on_state, on_states_loaded = on_states_loaded;
};
if not client.options.key then
	module:log("error", "wavebreak_key is not set: make one with `wavebreak key create`, with the scopes ingest, decide and read");
end

-- Outside lists

local lists = new_lists {
	lists = module:get_option("wavebreak_lists", {}), publish = module:get_option_string("wavebreak_publish_list");
	key = function () return module:get_option_string("wavebreak_list_key"); end;
	request = function (...) return client:request(...); end;
	send_iq = function (host, stanza) return module:context(host):send_iq(stanza); end;
	pubsub = function (host) return hosts[host] and hosts[host].modules.pubsub and hosts[host].modules.pubsub.service; end;
	own = function ()
		local own = {};
		for host in pairs(hosts) do own[host] = true; end
		for jid in module:get_option_inherited_set("admins", {}) do own[jid] = true; end
		return own;
	end;
	store = stores_of("wavebreak_lists"), log = function (level, ...) module:log(level, ...); end;
	add_task = timer.add_task, now = time.now, timeout = client.options.timeout;
};

-- From acts to Wavebreak, and back to the stanza.

local FAILURE_KIND = { ["account.registered"] = "registration" };
local FAILURE_DEFAULT = { registration = "closed", messaging = "open" };

local function closed_on_failure(event)
	local kind = FAILURE_KIND[event.type] or "messaging";
	return (on_failure[kind] or FAILURE_DEFAULT[kind]) == "closed";
end

-- Whether Wavebreak itself had no answer to a registration: its engine starts, or is replaced.
local function registers_without_answer(answer, event)
	return answer.mode == "on_failure" and FAILURE_KIND[event.type] == "registration" and is_calm(answer.outcome);
end

local function must_ask(act)
	if ask == "never" or not ASKED[act.event.type] then return false; end
	return ask == "always" or client:needs_asking(act.event.account, act.opens);
end

-- Whether Wavebreak lets the holder know by now.
local function is_due(answer)
	return type(answer.notify_at_ms) ~= "number" or answer.notify_at_ms <= client:now_ms();
end

-- What a sender reads who is refused, at once: Wavebreak's notice, which says how many places are left and what frees
-- one; where the cache refuses, what applies and until when. A person who is told nothing tries again.
local function refusal_text(refusal, lang)
	local said = type(refusal.notice) == "table" and refusal.notice[lang];
	if type(said) == "string" and said ~= "" then
		local url = is_due(refusal) and type(refusal.statement_url) == "string" and " " .. refusal.statement_url;
		return said .. (url or "");
	end
	local texts = TEXTS[lang];
	local ends_ms = refusal.until_ms;
	local ends = ends_ms and texts["until"]:format(os.date("!%Y-%m-%d %H:%M", ends_ms // 1000)) or "";
	return option_text(lang) or ((texts[refusal.outcome] or texts.refused):gsub("{until}", ends));
end

-- Whether a refusal is kept from its sender: until the time at which Wavebreak lets it be known.
local function is_silent(answer)
	return silence and not is_due(answer);
end

-- A first message that is to arrive as a request waits here, and its recipient gets a subscription
-- request with a question. Accepting it, or writing to the sender, delivers what waits.

local HELD_A_CHAT, HELD_SENDERS, HELD_S = 10, 200, 30 * 86400;

local function count_senders(held)
	local senders, now = 0, os.time();
	for from, one in pairs(held) do
		if now - one.since > HELD_S then held[from] = nil; else senders = senders + 1; end
	end
	return senders;
end

-- Whether a message is held; one to another server, or to somebody with many requests, is not.
local function hold(stanza, from)
	local to = jid_bare(stanza.attr.to);
	local node, host = local_node(to);
	if requests ~= "hold" or not node or not watched_hosts[host] or not usermanager.user_exists(node, host) then return false; end
	local held = request_store(host):get(node) or {};
	local one = held[from];
	if not one then
		if count_senders(held) >= HELD_SENDERS then return false; end
		one = { since = os.time(), messages = {} };
		held[from] = one;
		local asks = st.presence({ type = "subscribe", from = from, to = to, id = id.short() });
		module:context(host):send(asks:tag("status"):text(TEXTS[language(stanza)].request):up());
	end
	if not one.declined and #one.messages < HELD_A_CHAT then
		local copy = st.clone(stanza):tag("delay", { xmlns = "urn:xmpp:delay", from = host, stamp = datetime.datetime() }):up();
		one.messages[#one.messages + 1] = st.preserialize(copy);
	end
	request_store(host):set(node, held);
	return true;
end

-- Ends a request: its messages are delivered, or dropped. Who has declined is not asked again.
local function end_request(recipient, from, accepted)
	local node, host = local_node(recipient);
	if not node or not watched_hosts[host] then return; end
	local held = request_store(host):get(node);
	local one = held and held[from];
	if not one then return; end
	held[from] = not accepted and { since = os.time(), messages = {}, declined = true } or nil;
	request_store(host):set(node, next(held) and held or nil);
	for _, message in ipairs(accepted and one.messages or {}) do module:context(host):send(st.deserialize(message)); end
end

-- Before this module goes: accounts that it disabled are enabled, what waits is delivered, and until a restart nothing is
-- refused. Returns how many accounts and messages.
local function release()
	mode = "shadow";
	local accounts, messages = 0, 0;
	for host in pairs(watched_hosts) do
		local disabled, waiting = {}, {};
		for node in disabled_store(host):users() do disabled[#disabled + 1] = node; end
		for node in request_store(host):users() do waiting[#waiting + 1] = node; end
		for _, node in ipairs(disabled) do
			if usermanager.enable_user(node, host) then
				disabled_store(host):set(node, nil);
				accounts = accounts + 1;
			end
		end
		for _, node in ipairs(waiting) do
			for _, one in pairs(request_store(host):get(node) or {}) do
				for _, message in ipairs(one.messages) do
					module:context(host):send(st.deserialize(message));
					messages = messages + 1;
				end
			end
			request_store(host):set(node, nil);
		end
	end
	return accounts, messages;
end

-- The text for a sender of whose limit few places are left: once a limit, when it may be known.
local told_places = cache.new(10000);
local function tell_places(answer, account, session, stanza)
	if answer.near_limit ~= true or not session or not session.full_jid or type(answer.notice) ~= "table" then return; end
	local limit, text = tostring(answer["until"]), answer.notice[language(stanza)];
	if not is_due(answer) or type(text) ~= "string" or told_places:get(account) == limit then return; end
	told_places:set(account, limit);
	session.send(st.message({ from = session.host, to = session.full_jid, id = id.short() }, text));
end

-- People who take nothing from strangers but the request to become a contact: everybody, or who wished so.

local choice_store = stores_of("wavebreak_only_contacts");
local choices = cache.new(20000);

local function takes_only_contacts(jid)
	local node, host = local_node(jid);
	if not node or not watched_hosts[host] then return false; end
	local choice = choices:get(jid);
	if choice == nil then
		local stored = choice_store(host):get(node);
		choice = stored and stored.only_contacts;
		if choice == nil then choice = only_contacts; end
		choices:set(jid, choice);
	end
	return choice;
end

local function change_choice(node, host)
	local jid = node .. "@" .. host;
	local choice = not takes_only_contacts(jid);
	choice_store(host):set(node, { only_contacts = choice });
	choices:set(jid, choice);
	return choice;
end

local NEEDS_CONTACT = { ["message.sent"] = true, ["call.started"] = true, ["group.member_added"] = true };

-- Who is no contact and writes all the same has asked to become one, in vain; that person complains of nothing.
local function refused_by_recipient(acts, stanza, session)
	for _, act in ipairs(acts) do
		local event = act.event;
		local peer = event.peer;
		if peer and NEEDS_CONTACT[event.type] and takes_only_contacts(peer) and not mapping:is_known(event.account, peer) then
			local asked = mapping:act("contact.requested", event.account, { peer = peer, origin = event.origin, attempted = true });
			client:tell(asked.event);
			local lang = language(stanza, session);
			return { text = TEXTS[lang].closed, lang = lang, type = "auth", condition = "forbidden" };
		end
	end
end

-- Reports that go on, to whom its reporter lets: the reported account's server, and the addresses of the option.

local SERVER_INFO = "http://jabber.org/network/serverinfo";

local function abuse_addresses(reply)
	local found, query = {}, reply:get_child("query", "http://jabber.org/protocol/disco#info");
	for form in (query and query:childtags("x", "jabber:x:data") or function () end) do
		local fields, is_info = {}, false;
		for field in form:childtags("field") do
			is_info = is_info or field.attr.var == "FORM_TYPE" and field:get_child_text("value") == SERVER_INFO;
			if field.attr.var == "abuse-addresses" then fields[#fields + 1] = field; end
		end
		for _, field in ipairs(is_info and fields or {}) do
			for value in field:childtags("value") do
				local jid = jid_lib.prep((value:get_text() or ""):match("^xmpp:([^?]+)") or "");
				if jid then found[#found + 1] = jid; end
			end
		end
	end
	return found;
end

-- Neither who reports nor what was written: the account, and why.
local function send_report(host, to, report)
	local message = st.message({ from = host, to = to, id = id.short() }):tag("report", { xmlns = "urn:xmpp:reporting:1", reason = report.reason });
	if report.origin then message:tag("report-origin"):up(); end
	if report.third_party then message:tag("third-party"):up(); end
	module:context(host):send(message:up():tag("jid", { xmlns = "urn:xmpp:jid:0" }):text(report.about):up());
end

local function forward_report(host, report)
	local origin = jid_host(report.about);
	if report.origin and forwarded:contains("origin") and not hosts[origin] then
		local query = st.iq({ type = "get", from = host, to = origin, id = id.short() }):tag("query", { xmlns = "http://jabber.org/protocol/disco#info" });
		module:context(host):send_iq(query):next(function (event) return abuse_addresses(event.stanza); end, function () return {}; end)
			:next(function (found)
				for _, to in ipairs(found[1] and found or { origin }) do send_report(host, to, report); end
			end);
	end
	for to in forwarded do
		if to ~= "origin" and report.third_party then send_report(host, to, report); end
	end
end

-- Nothing waits in shadow: the answer is only counted.
local function ask_in_shadow(events)
	client:decide(events, "ask", function (answer)
		if answer and not answer.allowed then client.counters.refused = client.counters.refused + 1; end
	end);
end

-- An account that may do nothing shows nobody anything, whether it counts or not.
local function refused_all(account, stanza)
	local state = mode == "enforce" and client:refused_by_state(mapping_lib.account_id(account), false);
	return state and mapping_lib.is_visible(stanza) and state or nil;
end

-- Whether acts of one account are refused: the answer or state, and why. Waits for the answer.
local function ask_about(acts)
	local asked = {};
	for _, act in ipairs(acts) do
		if must_ask(act) then asked[#asked + 1] = act.event; end
	end
	if mode == "shadow" then
		if #asked > 0 then ask_in_shadow(asked); end
		return nil, nil, #asked > 0;
	end
	if #asked > 0 and async.ready() then
		local answer, reason = client:attempt(asked, "attempt");
		if answer then
			if answer.allowed then return nil, nil, true, answer; end
			if not registers_without_answer(answer, asked[1]) then return answer, "refused", true; end
			if closed_on_failure(asked[1]) then return {}, "unavailable", true; end
			return nil, nil, true;
		end
		for _, act in ipairs(acts) do
			local state = client:refused_by_state(act.event.account, act.opens);
			if state then return state, "state", true; end
			if reason ~= "key" and closed_on_failure(act.event) then return {}, "unavailable", true; end
		end
		return nil, nil, true;
	end
	for _, act in ipairs(acts) do
		local state = ASKED[act.event.type] and client:refused_by_state(act.event.account, act.opens);
		if state then return state, "state", false; end
	end
	return nil, nil, false;
end

-- Returns the refusal {text, lang, condition}, or nil where the acts may happen; then whether it asked,
-- and the answer that lets them. `from`: who sends the stanza to somebody, act or not.
local function judge(acts, session, stanza, from)
	local account = acts[1] and acts[1].event.account or from;
	local refusal, why, asked, answer = ask_about(acts);
	if not refusal and from then refusal, why = refused_all(from, stanza), "state"; end
	if not refusal then return nil, asked, answer; end
	client.counters.refused = client.counters.refused + 1;
	-- Wavebreak has logged what it refused itself; what the cache refused it has not seen.
	if why == "state" then
		for _, act in ipairs(acts) do
			if ASKED[act.event.type] then
				act.event.attempted = true;
				client:tell(act.event);
			end
		end
	end
	module:fire_event("wavebreak/refused", {
		account = account, type = acts[1] and acts[1].event.type, outcome = refusal.outcome, origin = session, stanza = stanza;
	});
	local lang = language(stanza, session);
	if why == "unavailable" then
		return { text = TEXTS[lang].unavailable, lang = lang, condition = "resource-constraint" }, asked;
	end
	local is_mention = refusal.outcome == "limit" and acts[1] ~= nil and acts[1].event.mentions ~= nil;
	local text = is_mention and TEXTS[lang].mentions or refusal_text(refusal, lang);
	return { text = text, lang = lang, condition = "policy-violation", silent = is_silent(refusal), is_mention = is_mention }, asked;
end

-- As `judge`; what may happen is sent to Wavebreak. The second result is the kind of time that it took,
-- the third whether the act is to arrive as a request. `from` sends the stanza, which may be no act at all.
local function perform(acts, session, stanza, from)
	if #acts == 0 and not (from and refused_all(from, stanza)) then return nil; end
	local account = acts[1] and acts[1].event.account or from;
	if is_exempt(account, session) then return nil; end
	local by_recipient = refused_by_recipient(acts, stanza, session);
	if by_recipient then return by_recipient, "told"; end
	lists:before(account);
	local refusal, asked, answer = judge(acts, session, stanza, from);
	if not refusal then
		local as_request = answer and answer.deliver_as == "request";
		for _, act in ipairs(acts) do
			-- A chat that waits for its answer is no open one: its next message is asked about too.
			if not as_request then mapping:done(act); end
			note_reached(act);
			client:tell(act.event);
		end
		if answer then tell_places(answer, account, session, stanza); end
	end
	return refusal, asked and "asked" or "told", answer and answer.deliver_as == "request" or false;
end

local function timed(handler)
	return function (event)
		local began = monotonic();
		local result, kind = handler(event);
		if kind then client:measured(kind, monotonic() - began); end
		return result;
	end
end

local function refuse(refusal, origin, stanza, from)
	-- Only what gets no answer where it is delivered: a client would wait for that to a room.
	if refusal.silent and (stanza.name == "message" or stanza.attr.type == "subscribe") then return true; end
	-- An error is never answered by another one.
	if stanza.attr.type == "error" then return true; end
	local reply = st.error_reply(stanza, refusal.type or "wait", refusal.condition, refusal.text, from);
	local error_tag = reply:get_child("error");
	local text_tag = error_tag and error_tag:get_child("text", "urn:ietf:params:xml:ns:xmpp-stanzas");
	if text_tag then text_tag.attr["xml:lang"] = refusal.lang; end
	origin.send(reply);
	return true;
end

local function without(acts, kinds)
	for i = #acts, 1, -1 do if kinds[acts[i].event.type] then table.remove(acts, i); end end
	return acts;
end

local ROOMS_FORGOTTEN_S = 300;
local NEW_IN_ROOM_S = 86400;
local TRUSTED = { owner = true, admin = true, member = true };
local MOST_MODERATORS, HOUR_S = 5, 3600;
local QUERIES = { get = true, set = true };
local RECEIPTS = { ["message.delivered"] = true, ["message.read"] = true };

local function clean_ip(ip)
	return ip and (ip:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$") or ip) or nil;
end

-- Accounts

local function watch_accounts(module)
	local host = module.host;
	local registering = cache.new(1000);
	watched_hosts[host] = true;

	local function own(session) return session.username .. "@" .. host; end

	-- Who sends a stanza to somebody else: to itself, to this server and to rooms here an account may send what it likes.
	local function sender_of(session, stanza)
		local node, to_host = jid_split(stanza.attr.to);
		local to_somebody = node and jid_bare(stanza.attr.to) ~= own(session) and not (hosts[to_host] and hosts[to_host].type == "component");
		return to_somebody and own(session) or nil;
	end

	-- The hook that follows has no stanza.
	module:hook("stanza/iq/jabber:iq:register:query", function (event)
		event.origin.wavebreak_language = event.stanza.attr["xml:lang"];
	end, 1);

	module:hook("user-registering", timed(function (event)
		local jid = event.username .. "@" .. host;
		if event.allowed == false or is_exempt(jid) or usermanager.user_exists(event.username, host) then return; end
		local act = mapping:registered(jid, clean_ip(event.ip));
		local refusal, asked = judge({ act }, event.session, nil);
		if refusal then
			event.allowed = false;
			event.error_type, event.error_condition, event.reason = "wait", refusal.condition, refusal.text;
		else
			registering:set(jid, act);
		end
		return nil, asked and "asked" or "told";
	end), -10);

	module:hook("user-registered", function (event)
		local jid = event.username .. "@" .. host;
		local act = registering:get(jid);
		registering:set(jid, nil);
		if is_exempt(jid) then return; end
		act = act or mapping:registered(jid, clean_ip(event.ip or event.session and event.session.ip));
		client:tell(act.event);
	end);

	module:hook_global("user-deleted", function (event)
		if event.host ~= host then return; end
		local jid = event.username .. "@" .. host;
		if not is_exempt(jid) then client:tell(mapping:deleted(jid).event); end
		if disabled_store(host):get(event.username) then disabled_store(host):set(event.username, nil); end
		choice_store(host):set(event.username, nil);
		choices:set(jid, nil);
		for name in pairs(watched_hosts) do
			if next(reached_by(name, jid)) then keep_reached(name, jid, {}); end
			reached_cache:set(name .. " " .. jid, nil);
		end
	end, 300);

	module:hook("resource-bind", function (event)
		local session = event.session;
		perform({ mapping:session(own(session), clean_ip(session.ip)) }, session);
	end);

	local function on_message(event)
		local origin, stanza = event.origin, event.stanza;
		if origin.type ~= "c2s" or not origin.username then return; end
		local acts = mapping:message(stanza, own(origin));
		if not receipts then without(acts, RECEIPTS); end
		local refusal, kind, as_request = perform(acts, origin, stanza, sender_of(origin, stanza));
		if refusal then return refuse(refusal, origin, stanza), kind; end
		if as_request and hold(stanza, own(origin)) then return true, kind; end
		if acts[1] and acts[1].event.type == "message.sent" then end_request(own(origin), jid_bare(stanza.attr.to), true); end
		return nil, kind;
	end
	-- Before the archive (0) and the copies to other devices (-0.5).
	module:hook("pre-message/bare", timed(on_message), 1);
	module:hook("pre-message/full", timed(on_message), 1);
	module:hook("pre-message/host", timed(on_message), 1);

	local function on_iq(event)
		local origin, stanza = event.origin, event.stanza;
		if not QUERIES[stanza.attr.type] or origin.type ~= "c2s" or not origin.username then return; end
		local refusal, kind = perform(mapping:iq(stanza, own(origin)), origin, stanza, sender_of(origin, stanza));
		return refusal and refuse(refusal, origin, stanza), kind;
	end
	module:hook("pre-iq/bare", timed(on_iq), 1);
	module:hook("pre-iq/full", timed(on_iq), 1);

	local function on_presence(event)
		local origin, stanza = event.origin, event.stanza;
		local kind = stanza.attr.type;
		if kind == "error" or kind == "probe" or origin.type ~= "c2s" or not origin.username then return; end
		local refusal, time_kind, as_request = perform(mapping:presence(stanza, own(origin)), origin, stanza, sender_of(origin, stanza));
		if refusal then return refuse(refusal, origin, stanza), time_kind; end
		-- A request for contact is one already.
		if as_request and kind ~= "subscribe" then return true, time_kind; end
		if kind == "subscribed" or kind == "unsubscribed" then
			local recipient, from = own(origin), jid_bare(stanza.attr.to);
			-- Once the rosters have changed.
			timer.add_task(0, function () end_request(recipient, from, kind == "subscribed"); end);
		end
		return nil, time_kind;
	end
	module:hook("pre-presence/bare", timed(on_presence), 1);
	module:hook("pre-presence/full", timed(on_presence), 1);

	-- What its rooms still say comes soon.
	module:hook("resource-unbind", function (event)
		local name = event.session.username;
		timer.add_task(ROOMS_FORGOTTEN_S, function ()
			if not hosts[host].sessions[name] then mapping:forget_rooms(name .. "@" .. host); end
		end);
	end);

	-- One host reads the lists for all.
	if not lists.options.host then
		lists.options.host = host;
		module:hook("message/host", function (event) return lists:heard(event.stanza) or nil; end, 1);
		module:hook("s2sout-destroyed", function (event) lists:gap(event.session.to_host); end);
		module:hook("s2sin-destroyed", function (event) lists:gap(event.session.from_host); end);
		timer.add_task(0, function () lists:start(); end);
	end

	-- Rooms of other servers that were joined before.
	for full_jid, session in pairs(prosody.full_sessions) do
		for jid in pairs(session.host == host and session.directed or {}) do
			if not hosts[jid_host(jid)] then mapping:joined_elsewhere(jid_bare(full_jid), jid_bare(jid)); end
		end
	end

	module:hook("iq/self/jabber:iq:roster:query", function (event)
		local origin, stanza = event.origin, event.stanza;
		if stanza.attr.type ~= "set" or not contacts then return; end
		perform(mapping:roster(stanza, own(origin)), origin, stanza);
	end, 1);

	local function on_blocking(event)
		local origin, stanza = event.origin, event.stanza;
		local acts = mapping:blocking(stanza, own(origin));
		perform(acts, origin, stanza);
		for _, act in ipairs(acts) do
			if act.event.type == "user.blocked" then end_request(own(origin), act.event.peer, false); end
			if act.report then forward_report(host, act.report); end
		end
	end
	module:hook("iq-set/self/urn:xmpp:blocking:block", timed(on_blocking), 2);
	module:hook("iq-set/self/urn:xmpp:blocking:unblock", timed(on_blocking), 2);

	module:hook("archive-message-added", function (event)
		if event.for_user and event.id and event.stanza then
			mapping:archive(event.stanza, event.for_user .. "@" .. host, event.id);
		end
	end);

	local adhoc = module:require "adhoc";
	module:provides("adhoc", adhoc.new(TEXTS.en.command, "wavebreak:only-contacts", function (_, data)
		local node, from_host = jid_split(data.from);
		if from_host ~= host then return { status = "canceled" }; end
		local texts = TEXTS[language(data.stanza)];
		return { status = "completed", info = change_choice(node, host) and texts.closes or texts.opens };
	end, "local_user"));

	-- Accounts of other servers.
	local function from_remote(event)
		if event.origin.type ~= "s2sin" or not remote then return nil; end
		local from = jid_bare(event.stanza.attr.from);
		if not jid_split(from) then return nil; end
		return from, jid_host(from);
	end

	local function on_remote_message(event)
		local from, origin_host = from_remote(event);
		if not from then return; end
		local stanza = event.stanza;
		local acts = mapping:message(stanza, from, origin_host);
		if stanza.attr.type == "error" and #acts == 0 then
			perform(mapping:bounce(stanza), nil, stanza);
			return;
		end
		if not receipts then without(acts, RECEIPTS); end
		local refusal, kind, as_request = perform(acts, nil, stanza, from);
		if refusal then return refuse(refusal, event.origin, stanza), kind; end
		return as_request and hold(stanza, from) or nil, kind;
	end
	module:hook("message/bare", timed(on_remote_message), 10);
	module:hook("message/full", timed(on_remote_message), 10);

	local function on_remote_iq(event)
		local from, origin_host = from_remote(event);
		if not from or not QUERIES[event.stanza.attr.type] then return; end
		local refusal, kind = perform(mapping:iq(event.stanza, from, origin_host), nil, event.stanza, from);
		return refusal and refuse(refusal, event.origin, event.stanza), kind;
	end
	module:hook("iq/bare", timed(on_remote_iq), 10);
	module:hook("iq/full", timed(on_remote_iq), 10);

	local function on_remote_presence(event)
		local from, origin_host = from_remote(event);
		local kind = event.stanza.attr.type;
		if not from or kind == "error" or kind == "probe" then return; end
		local refusal, time_kind, as_request = perform(mapping:presence(event.stanza, from, origin_host), nil, event.stanza);
		if refusal then return refuse(refusal, event.origin, event.stanza), time_kind; end
		return as_request and kind ~= "subscribe" or nil, time_kind;
	end
	module:hook("presence/bare", timed(on_remote_presence), 10);
	module:hook("presence/full", timed(on_remote_presence), 10);
end

-- Rooms

local function watch_rooms(module)
	local creating = setmetatable({}, { __mode = "k" });
	local members = cache.new(1000);
	local told_of = cache.new(1000); -- room → the hour in which its moderators were told of somebody
	local store = module:open_store("wavebreak_joined");

	local function member_of(event, jid)
		local bare = jid_bare(jid or event.stanza.attr.from);
		local host = jid_host(bare);
		local from_here = hosts[host] ~= nil;
		if not from_here and not remote then return nil; end
		return bare, not from_here and host or nil;
	end

	-- Clients join their rooms again at each login: only the first time is a join.
	local function joined(room)
		local known = members:get(room);
		if not known then
			known = room:get_persistent() and store:get(jid_split(room.jid)) or {};
			members:set(room, known);
		end
		return known;
	end

	local function keep(room, known)
		if room:get_persistent() then store:set(jid_split(room.jid), next(known) and known or nil); end
	end

	module:hook("muc-room-pre-create", timed(function (event)
		local from, origin_host = member_of(event);
		if not from then return; end
		local act = mapping:room_created(from, event.room.jid, origin_host);
		if not is_exempt(from, event.origin) then
			local refusal, asked = judge({ act }, event.origin, event.stanza);
			local kind = asked and "asked" or "told";
			if refusal then return refuse(refusal, event.origin, event.stanza, event.room.jid), kind; end
			creating[event.room] = act;
			return nil, kind;
		end
		creating[event.room] = act;
	end), -0.5);

	module:hook("muc-room-created", function (event)
		local act = creating[event.room];
		creating[event.room] = nil;
		if not act or is_exempt(act.event.account, event.origin) then return; end
		client:tell(act.event);
	end);

	module:hook("muc-occupant-pre-join", function (event)
		local from = member_of(event);
		if mode ~= "enforce" or not from or is_exempt(from, event.origin) then return; end
		local state = client:refused_by_state(mapping_lib.account_id(from), false);
		if not state then return; end
		client.counters.refused = client.counters.refused + 1;
		local lang = language(event.stanza);
		return refuse({ text = refusal_text(state, lang), lang = lang, condition = "policy-violation" }, event.origin, event.stanza, event.room.jid);
	end, -5);

	module:hook("muc-occupant-joined", function (event)
		local from, origin_host = member_of(event, event.occupant.bare_jid);
		if not from then return; end
		local known = joined(event.room);
		if known[from] then return; end
		known[from] = os.time();
		keep(event.room, known);
		-- Who creates a room is in it.
		if creating[event.room] then return; end
		perform(mapping:room_joined(from, event.room.jid, origin_host), event.origin, event.stanza);
	end);

	module:hook("muc-occupant-left", function (event)
		local from, origin_host = member_of(event, event.occupant.bare_jid);
		-- A session that ends, or goes offline, has no presence left: its account remains in the room.
		if not from or not event.origin or event.origin.type ~= "c2s" or not event.origin.presence then return; end
		local known = joined(event.room);
		if not known[from] then return; end
		known[from] = nil;
		keep(event.room, known);
		perform({ mapping:room_left(from, event.room.jid, origin_host) }, event.origin, event.stanza);
	end);

	module:hook("muc-room-destroyed", function (event)
		members:set(event.room, nil);
		store:set(jid_split(event.room.jid), nil);
	end);

	module:hook("muc-pre-invite", timed(function (event)
		local from, origin_host = member_of(event);
		if not from then return; end
		local acts = mapping:room_invitations(event.stanza, from, event.room.jid, origin_host);
		local refusal, kind = perform(acts, event.origin, event.stanza);
		return refusal and refuse(refusal, event.origin, event.stanza, event.room.jid), kind;
	end), -10);

	-- Of who came to a room within a day: since when, and who else is in it, by nickname. Who has a say there, or was made a
	-- member, is trusted by its people.
	local function newcomer_of(room, from, occupant)
		return function ()
			local since = joined(room)[from];
			local joined_s = since and math.max(os.time() - since, 0);
			if not since or joined_s >= NEW_IN_ROOM_S or occupant.role == "moderator" or TRUSTED[room:get_affiliation(from)] then return nil; end
			local others = {};
			for jid, one in room:each_occupant() do
				if one.bare_jid ~= from then others[jid_resource(jid)] = one.bare_jid; end
			end
			return joined_s, others;
		end
	end

	-- Owners and admins of a room who have come to it, of this server, owners first. Who never came has been named by a
	-- stranger, perhaps.
	local function moderators_of(room)
		local found, known = {}, joined(room);
		for _, kind in ipairs { "owner", "admin" } do
			for jid in room:each_affiliation(kind) do
				if #found == MOST_MODERATORS then return found; end
				if known[jid] and local_node(jid) then found[#found + 1] = jid; end
			end
		end
		return found;
	end

	-- Once an hour a room: a wave of accounts must not flood them. A client shows the language of its user.
	local function tell_moderators(room, about)
		local hour = os.time() // HOUR_S;
		if told_of:get(room.jid) == hour then return; end
		told_of:set(room.jid, hour);
		for _, jid in ipairs(moderators_of(room)) do
			local host = jid_host(jid);
			local message = st.message({ from = host, to = jid, type = "normal", id = id.short(), ["xml:lang"] = "en" });
			message:body(TEXTS.en.moderators:format(about, room.jid));
			message:body(TEXTS.he.moderators:format(about, room.jid), { ["xml:lang"] = "he" });
			module:context(host):send(message);
		end
	end

	local function on_groupchat(event)
		local from, origin_host = member_of(event);
		if not from or event.stanza.attr.type == "error" then return; end
		local recipients = 0;
		for _ in event.room:each_occupant() do recipients = recipients + 1; end
		local acts = mapping:room_message(event.stanza, from, event.room.jid, recipients, origin_host, newcomer_of(event.room, from, event.occupant));
		local refusal, kind = perform(acts, event.origin, event.stanza, from);
		if refusal and refusal.is_mention then tell_moderators(event.room, from); end
		return refusal and refuse(refusal, event.origin, event.stanza, event.room.jid), kind;
	end
	module:hook("muc-occupant-groupchat", timed(on_groupchat), 1);
	-- A room's new subject goes to everybody in it before that.
	module:hook("muc-occupant-groupchat", timed(function (event)
		local room, stanza = event.room, event.stanza;
		if not stanza:get_child("subject") or stanza:get_child("body") or stanza:get_child("thread") then return; end
		if event.occupant.role ~= "moderator" and not room:get_changesubject() then return; end
		return on_groupchat(event);
	end), 21);

	module:hook("muc-private-message", function (event)
		local room, stanza = event.room, event.stanza;
		-- The sender's address is already the nickname's.
		local sender = room:get_occupant_by_nick(stanza.attr.from);
		local recipient = room:get_occupant_by_nick(stanza.attr.to);
		if not sender or not recipient then return; end
		local from, origin_host = member_of(event, sender.bare_jid);
		if not from then return; end
		local acts = mapping:room_private(stanza, from, jid_bare(recipient.bare_jid), origin_host);
		local refusal = perform(acts, event.origin, stanza, from);
		if not refusal then return; end
		local copy = st.clone(stanza);
		copy.attr.from = sender.jid;
		refuse(refusal, event.origin, copy);
		return false;
	end, 1);

	-- Queries of accounts of other servers to who is in a room; those of accounts here are seen before.
	module:hook("iq/full", timed(function (event)
		local stanza = event.stanza;
		if event.origin.type ~= "s2sin" or not remote or not QUERIES[stanza.attr.type] then return; end
		local from = jid_bare(stanza.attr.from);
		if not jid_split(from) then return; end
		local refusal, kind = perform(mapping:iq(stanza, from, jid_host(from)), nil, stanza);
		return refusal and refuse(refusal, event.origin, stanza), kind;
	end), 10);
end

function module.add_host(module)
	if module:get_host_type() == "component" then watch_rooms(module); else watch_accounts(module); end
end

-- prosodyctl shell

local function line(print, name, value) print(("%-22s %s"):format(name, value)); end

module:add_item("shell-command", {
	section = "wavebreak", section_desc = "What goes to Wavebreak, and what it decided", name = "status";
	desc = "Show the connection to Wavebreak, its counters and the times of the hooks", args = {};
	handler = function (self)
		local print = self.session.print;
		local counters = client.counters;
		line(print, "Wavebreak", client.options.url .. ", " .. mode .. ", asks " .. ask:gsub("_", " "));
		line(print, "States", client:states_stale() and "none yet, or old" or (client.streaming and "streamed" or "polled"));
		line(print, "Events", ("%d seen, %d sent, %d held, %d dropped, %d rejected, %d late"):format(
			counters.told, counters.sent, client:held(), counters.dropped, counters.rejected, counters.late));
		line(print, "Questions", ("%d asked, %d without an answer, %d acts refused"):format(
			counters.asked, counters.no_answer, counters.refused));
		line(print, "Clock", ("%d s behind Wavebreak's"):format(client.skew_s));
		for _, one in ipairs(lists:lines()) do line(print, "List", one); end
		for _, kind in ipairs { "told", "asked" } do
			local found = client:percentiles(kind);
			if found then line(print, "Time, " .. kind, ("%d acts, p50 %.3f ms, p99 %.3f ms"):format(found.n, found.p50, found.p99)); end
		end
		return true;
	end;
});

module:add_item("shell-command", {
	section = "wavebreak", section_desc = "What goes to Wavebreak, and what it decided", name = "state";
	desc = "Show what applies to an account", args = { { name = "jid", type = "string" } };
	handler = function (_, jid)
		local outcome, state = client:state(mapping_lib.account_id(jid_bare(jid)));
		local ending = state and state.until_ms and outcome ~= "allow" and os.date("!, until %Y-%m-%d %H:%M:%S UTC", state.until_ms // 1000) or "";
		return true, outcome .. ending .. (state and (", decision %d"):format(state.number) or "");
	end;
});

module:add_item("shell-command", {
	section = "wavebreak", section_desc = "What goes to Wavebreak, and what it decided", name = "release";
	desc = "Enable disabled accounts and deliver what waits, before the module is removed", args = {};
	handler = function ()
		local accounts, messages = release();
		return true, ("%d accounts enabled, %d messages delivered; nothing is refused until a restart"):format(accounts, messages);
	end;
});

module:add_item("shell-command", {
	section = "wavebreak", section_desc = "What goes to Wavebreak, and what it decided", name = "resume_list";
	desc = "Let a list that grew too fast tell of hits again", args = { { name = "name", type = "string" } };
	handler = function (_, name) return lists:resume(name), "no list of this name"; end;
});

module:hook_global("config-reloaded", function ()
	client.options.key = module:get_option_string("wavebreak_key");
	client.options.url = get_url();
	client.said = {};
end);

timer.add_task(0, function ()
	client:start { carries = mapping_lib.carries { contacts = contacts, receipts = receipts, remote = remote }, can = { "refuse", "notify", "suspend", "lift" } };
end);

function module.unload()
	lists:stop();
	client:stop();
end
