-- Stanzas to Wavebreak's events. No text, name or resource of a stanza leaves this file.
--
-- Copyright (C) 2026 the Wavebreak authors
-- This project is MIT licensed. See README.md.

local cache = require "util.cache";
local hashes = require "util.hashes";
local jid_lib = require "util.jid";

local jid_bare, jid_prep, jid_resource, jid_split = jid_lib.bare, jid_lib.prep, jid_lib.resource, jid_lib.split;

local TYPING_S = 10;
local MAX_ID_BYTES = 255;
local MOST_ROOMS = 500;
-- A message that mentions so many people of a room in which its sender is new, is a mass mention (ADR 51). A nickname of
-- fewer bytes is a word as well; so much of a text is searched, for the server waits.
local MASS_MENTION, LEAST_NICK, MOST_SEARCHED = 10, 3, 65536;

-- What is sent of each type, beside id, time, type and account. Wavebreak is told of exactly these, and no other field
-- leaves this server: a field that is sent and not declared is not judged.
local FIELDS = {
	["account.registered"] = { "ip", "attempted" };
	["account.deleted"] = {};
	["session.started"] = { "ip" };
	["typing.started"] = { "peer", "group", "origin" };
	["message.sent"] = { "peer", "group", "recipients", "in_contacts", "size", "media", "mentions", "joined_s", "via", "origin", "attempted" };
	["message.delivered"] = { "peer", "message", "origin" };
	["message.read"] = { "peer", "message", "origin" };
	["message.undeliverable"] = { "peer", "reason", "origin" };
	["call.started"] = { "peer", "media", "in_contacts", "origin", "attempted" };
	["call.ended"] = { "peer", "seconds", "origin" };
	["contact.requested"] = { "peer", "origin", "attempted" };
	["contact.accepted"] = { "peer", "origin" };
	["contact.refused"] = { "peer", "origin" };
	["contact.added"] = { "peer" };
	["contact.removed"] = { "peer" };
	["group.created"] = { "group", "origin", "attempted" };
	["group.member_added"] = { "group", "peer", "origin", "attempted" };
	["group.joined"] = { "group", "origin" };
	["group.left"] = { "group", "origin" };
	["user.reported"] = { "peer", "reason", "message" };
	["user.blocked"] = { "peer" };
	["user.unblocked"] = { "peer" };
};

-- The option without which a type, or a field of any type, is not sent.
local ONLY_WITH = {
	["contact.added"] = "contacts", ["contact.removed"] = "contacts";
	["message.delivered"] = "receipts", ["message.read"] = "receipts";
	origin = "remote";
};

-- The types and fields that are sent; `options`: contacts, receipts and remote.
local function carries(options)
	local function is_on(name) return not ONLY_WITH[name] or options[ONLY_WITH[name]]; end
	local names = {};
	for kind, fields in pairs(FIELDS) do
		if is_on(kind) then
			names[#names + 1] = kind;
			for _, field in ipairs(fields) do
				if is_on(field) then names[#names + 1] = kind .. "." .. field; end
			end
		end
	end
	table.sort(names);
	return names;
end

-- The schema takes ids of up to 255 bytes; a JID may have 3,071.
local function account_id(jid)
	if #jid <= MAX_ID_BYTES then return jid; end
	return "sha256:" .. hashes.sha256(jid, true);
end

local function base64_bytes(text)
	local encoded = #text - select(2, text:gsub("%s", ""));
	local padding = #(text:match("=*%s*$"):gsub("%s", ""));
	return math.max(0, encoded // 4 * 3 - padding);
end

local CLIENT, MUC, MUC_USER = "jabber:client", "http://jabber.org/protocol/muc", "http://jabber.org/protocol/muc#user";
local RECEIPTS, MARKERS, CHAT_STATES = "urn:xmpp:receipts", "urn:xmpp:chat-markers:0", "http://jabber.org/protocol/chatstates";
local JMI, JINGLE, RTP = "urn:xmpp:jingle-message:0", "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1";
local OMEMO = { ["eu.siacs.conversations.axolotl"] = true, ["urn:xmpp:omemo:1"] = true, ["urn:xmpp:omemo:2"] = true };
local OPENPGP = { ["urn:xmpp:openpgp:0"] = "openpgp", ["jabber:x:encrypted"] = "x" };

-- What a stanza may carry to anybody: no client shows it. Whatever is not here is an act of its sender. The modules'
-- tables are one: elements.jsonl beside the golden file has them, and a test compares.
local HARMLESS = {
	message = {
		[CLIENT] = { "thread" };
		[RECEIPTS] = { "received", "request" };
		[MARKERS] = { "acknowledged", "displayed", "markable", "received" };
		[CHAT_STATES] = { "active", "composing", "gone", "inactive", "paused" };
		[MUC_USER] = { "x" };
		["eu.siacs.conversations.axolotl"] = { "encrypted" };
		["urn:xmpp:omemo:1"] = { "encrypted" };
		["urn:xmpp:omemo:2"] = { "encrypted" };
		["urn:xmpp:carbons:2"] = { "private" };
		["urn:xmpp:delay"] = { "delay" };
		["urn:xmpp:eme:0"] = { "encryption" };
		["urn:xmpp:hints"] = { "no-copy", "no-permanent-store", "no-store", "store" };
		["urn:xmpp:sid:0"] = { "origin-id", "stanza-id" };
	};
	presence = {
		[CLIENT] = { "priority", "show", "status" };
		["http://jabber.org/protocol/caps"] = { "c" };
		["jabber:iq:last"] = { "query" };
		["jabber:x:signed"] = { "x" };
		["urn:xmpp:delay"] = { "delay" };
		["urn:xmpp:idle:1"] = { "idle" };
		["vcard-temp:x:update"] = { "x" };
	};
	iq = {
		[JINGLE] = { "jingle" };
		["http://jabber.org/protocol/disco#info"] = { "query" };
		["http://jabber.org/protocol/disco#items"] = { "query" };
		["http://jabber.org/protocol/pubsub"] = { "pubsub" };
		["jabber:iq:last"] = { "query" };
		["jabber:iq:time"] = { "query" };
		["jabber:iq:version"] = { "query" };
		["urn:ietf:params:xml:ns:vcard-4.0"] = { "vcard" };
		["urn:xmpp:bob"] = { "data" };
		["urn:xmpp:ping"] = { "ping" };
		["urn:xmpp:time"] = { "time" };
		["vcard-temp"] = { "vCard" };
	};
};

local is_listed, listed = {}, {};
for stanza, namespaces in pairs(HARMLESS) do
	for xmlns, names in pairs(namespaces) do
		for _, name in ipairs(names) do
			listed[#listed + 1] = ("%s %s %s"):format(stanza, xmlns, name);
			is_listed[listed[#listed]] = true;
		end
	end
end
table.sort(listed);

local SHOWN = { away = true, chat = true, dnd = true, xa = true };

-- What a listed element has to be as well.
local CONDITIONS = {
	-- Without a payload it only carries keys.
	encrypted = function (child)
		for _, part in ipairs(child.tags) do if part.name ~= "header" then return false; end end
		return true;
	end;
	jingle = function (child) return child.attr.action ~= "session-initiate"; end;
	show = function (child) return SHOWN[child:get_text() or ""] or false; end;
	status = function (child) return #child == 0; end;
	-- A room writes into it; of a client it is a mark of a private message.
	[MUC_USER] = function (child) return #child.tags == 0; end;
};

local function namespace(stanza, child)
	local xmlns = child.attr.xmlns;
	return (xmlns == nil or xmlns == stanza.attr.xmlns) and CLIENT or xmlns;
end

local function is_harmless(stanza, child)
	local xmlns = namespace(stanza, child);
	if not is_listed[("%s %s %s"):format(stanza.name, xmlns, child.name)] then return false; end
	local condition = CONDITIONS[xmlns] or CONDITIONS[child.name];
	return not condition or condition(child);
end

local function all_text(tag)
	local parts = {};
	for i, part in ipairs(tag) do parts[i] = type(part) == "string" and part or all_text(part); end
	return table.concat(parts);
end

local TEXTS = { body = true, subject = true, status = true };

-- What a stanza carries: whether any of it may be shown, and the bytes of its texts in all languages, or of its
-- ciphertext; `except`: an element that counts otherwise.
local function content(stanza, except)
	local visible, plain, cipher, hint, shared = false, 0, 0, nil, false;
	for _, child in ipairs(stanza.tags) do
		if child ~= except and not is_harmless(stanza, child) then
			visible = true;
			local xmlns, name = namespace(stanza, child), child.name;
			if xmlns == CLIENT and TEXTS[name] then
				local size = #all_text(child);
				plain = plain + size;
				if name == "body" and not hint then hint = size; end
			elseif xmlns == "http://jabber.org/protocol/xhtml-im" and name == "html" then
				plain = plain + #all_text(child);
			elseif OMEMO[xmlns] and name == "encrypted" then
				local encrypted = child:get_child("payload");
				cipher = cipher + (encrypted and base64_bytes(all_text(encrypted)) or 0);
			elseif OPENPGP[xmlns] == name then
				cipher = cipher + base64_bytes(all_text(child));
			elseif (xmlns == "jabber:x:oob" and name == "x") or (xmlns == "urn:xmpp:sfs:0" and name == "file-sharing") then
				shared = true;
			end
		end
	end
	-- The body beside a ciphertext is a fixed hint for clients that cannot decrypt.
	if cipher > 0 then return { visible = true, size = cipher + plain - (hint or 0) }; end
	return { visible = visible, size = plain, media = shared and "other" or "none" };
end

-- Whether a text has a name as a word of its own; a byte of another script is part of a word.
local function has_word(text, name)
	local first, last = text:find(name, 1, true);
	while first do
		if not text:sub(first - 1, first - 1):find("[%w_\x80-\xff]") and not text:sub(last + 1, last + 1):find("[%w_\x80-\xff]") then return true; end
		first, last = text:find(name, first + 1, true);
	end
	return false;
end

-- What a message to a room says in plain text, in small letters of ASCII, and whom it refers to (XEP-0372).
local function plain_text(stanza)
	local texts, referred = {}, {};
	for _, child in ipairs(stanza.tags) do
		local xmlns = namespace(stanza, child);
		if xmlns == CLIENT and child.name == "body" or xmlns == "http://jabber.org/protocol/xhtml-im" and child.name == "html" then
			texts[#texts + 1] = all_text(child):lower();
		elseif xmlns == "urn:xmpp:reference:0" and child.name == "reference" and child.attr.type == "mention" then
			local uri = (child.attr.uri or ""):match("^xmpp:([^?]*)");
			local jid = uri and jid_prep((uri:gsub("%%(%x%x)", function (code) return string.char(tonumber(code, 16)); end)));
			if jid then referred[jid] = true; end
		end
	end
	return table.concat(texts, "\n"):sub(1, MOST_SEARCHED), referred;
end

-- How many occupants of a room a message mentions, where it may be a mass mention of somebody who is new there;
-- `newcomer()`: for how long its sender has been there, and the others; nil for who is not new, or has a say.
local function mass_mention(stanza, room, newcomer)
	local text, referred = plain_text(stanza);
	if not newcomer or #text < MASS_MENTION * (LEAST_NICK + 1) - 1 and not next(referred) then return nil; end
	local joined_s, others = newcomer();
	local mentions = 0;
	for nick, jid in pairs(joined_s and others or {}) do
		if referred[room .. "/" .. nick] or referred[jid] or #nick >= LEAST_NICK and has_word(text, nick:lower()) then mentions = mentions + 1; end
	end
	if mentions >= MASS_MENTION then return mentions, joined_s; end
end

-- Whether a stanza to somebody else may show that person anything: of an account that may do nothing, it goes nowhere.
local function is_visible(stanza)
	local kind = stanza.attr.type;
	if stanza.name == "presence" and kind == "subscribe" then return true; end
	if stanza.name == "presence" and kind and kind ~= "unavailable" then return false; end
	if stanza.name == "iq" and kind ~= "get" and kind ~= "set" then return false; end
	-- An error may repeat what it answers.
	return content(stanza, kind == "error" and stanza:get_child("error") or nil).visible;
end

local mapping = {};
local mapping_mt = { __index = mapping };

-- `context`: new_id() and now_ms() of the server; is_contact(owner, jid), is_pending_in(owner, jid),
-- is_pending_out(owner, jid), is_subscribed(owner, jid), has_item(owner, jid), user_exists(jid),
-- is_local(host), is_local_room_host(host), occupant(jid), pseudonym(jid), blocklist(owner).
local function new(context)
	return setmetatable({
		context = context;
		receipts = cache.new(20000); -- sender, recipient, stanza id → event id
		archived = cache.new(20000); -- owner, archive id → event id
		typing = cache.new(5000);
		calls = cache.new(20000); -- caller, callee, session id → who, and when it was taken
		pairs = cache.new(context.pairs or 200000);
		invitations = cache.new(20000); -- room, invited → who invited it
		rooms = {}; -- account → its rooms of other servers: "asked", or "joined" once the room has answered
	}, mapping_mt);
end

function mapping:event(type, account, fields)
	local event = {};
	for _, name in ipairs(FIELDS[type]) do event[name] = fields and fields[name]; end
	event.type, event.account = type, account_id(account);
	event.id, event.ts = self.context.new_id(), self.context.now_ms();
	if event.peer then event.peer = account_id(event.peer); end
	if event.group then event.group = account_id(event.group); end
	return event;
end

-- The sender's act, as what may be asked. `opens`: it opens a chat, a request or a group.
function mapping:act(type, account, fields, opens)
	return { event = self:event(type, account, fields), opens = opens or false };
end

-- A pair that has written, in either direction, is no first contact.
function mapping:remember(account, peer)
	self.pairs:set(account .. " " .. peer, true);
	self.pairs:set(peer .. " " .. account, true);
end

function mapping:is_known(account, peer)
	return self.pairs:get(account_id(account) .. " " .. account_id(peer)) or self.context.is_contact(peer, account)
		or self.context.is_subscribed(account, peer) or false;
end

-- After an act was allowed, or could not be asked.
function mapping:done(act)
	local event = act.event;
	if act.opens and event.peer and event.type == "message.sent" then
		self:remember(event.account, event.peer);
	end
	if event.type == "group.member_added" then self.invitations:set(event.group .. " " .. event.peer, event.account); end
	if act.call then self.calls:set(act.call.key, act.call); end
	if act.stanza_id then
		self.receipts:set(event.account .. " " .. event.peer .. " " .. act.stanza_id, event.id);
	end
end

function mapping:typing_started(account, where, fields)
	local key, now = account .. " " .. where, self.context.now_ms();
	local last = self.typing:get(key);
	if last and now - last < TYPING_S * 1000 then return nil; end
	self.typing:set(key, now);
	return self:act("typing.started", account, fields);
end

local function receipt_of(stanza)
	local received = stanza:get_child("received", RECEIPTS) or stanza:get_child("received", MARKERS);
	if received then return "message.delivered", received.attr.id; end
	local displayed = stanza:get_child("displayed", MARKERS);
	if displayed then return "message.read", displayed.attr.id; end
end

-- What an account here is to a room of another server: nil, "asked" or "joined".
function mapping:room_state(account, room)
	local rooms = self.rooms[account_id(account)];
	return rooms and rooms.states[account_id(room)];
end

-- Of more rooms than an account can have, those that never answered go; then no more are added. The bound is each
-- account's own: none pushes out another's.
function mapping:keep_room(account, room, state)
	account, room = account_id(account), account_id(room);
	local rooms = self.rooms[account] or { count = 0, states = {} };
	self.rooms[account] = rooms;
	if not rooms.states[room] then
		if rooms.count >= MOST_ROOMS then
			for one, its in pairs(rooms.states) do
				if its ~= "joined" then rooms.states[one], rooms.count = nil, rooms.count - 1; end
			end
		end
		if rooms.count >= MOST_ROOMS then return; end
		rooms.count = rooms.count + 1;
	end
	rooms.states[room] = state;
end

-- Who has no session is in no room of another server.
function mapping:forget_rooms(account)
	self.rooms[account_id(account)] = nil;
end

-- Whether an account has asked to join a room of another server; what it has not asked to join may be anybody.
function mapping:has_asked(account, room)
	return self:room_state(account, room) ~= nil;
end

-- Whether that room has answered as rooms do.
function mapping:is_in_room(account, room)
	return self:room_state(account, room) == "joined";
end

-- A room that has answered, or that was joined before this module was loaded.
function mapping:joined_elsewhere(account, room)
	self:keep_room(account, room, "joined");
end

-- Who invites by a room of another server: its word is taken for accounts of its own server alone.
local function inviter_of(invite, room)
	local inviter = jid_prep(invite.attr.from or "");
	local node, host = jid_split(inviter);
	local _, room_host = jid_split(room);
	if node and room_host:sub(-#host - 1) == "." .. host then return jid_bare(inviter), host; end
	return room, room_host;
end

-- Invitations to rooms: direct ones (XEP-0249), and mediated ones, which go to a room or come from one.
local function invitations_of(stanza, from, to, by_room, origin)
	local listed = {};
	local x = stanza:get_child("x", MUC_USER);
	for invite in (x and x:childtags("invite") or function() end) do
		local invitee = jid_prep(invite.attr.to or "");
		if origin and not by_room and invite.attr.from then
			local inviter, host = inviter_of(invite, from);
			listed[#listed + 1] = { account = inviter, group = from, peer = to, origin = host };
		elseif by_room and invitee and jid_bare(invitee) ~= from then
			listed[#listed + 1] = { account = from, group = to, peer = jid_bare(invitee), origin = origin };
		end
	end
	if listed[1] then return listed; end
	local direct = stanza:get_child("x", "jabber:x:conference");
	local room = direct and jid_prep(direct.attr.jid or "");
	return room and { { account = from, group = jid_bare(room), peer = to, origin = origin } } or {};
end

-- Addresses that a service passes a message on to.
local PASSED_TO = { bcc = true, cc = true, to = true };

-- What a proposal of a call (XEP-0353), or a session (XEP-0166), says of it.
local PROPOSALS = { propose = "started", proceed = "taken", retract = "ended", reject = "ended", finish = "ended" };
local SESSIONS = { ["session-initiate"] = "started", ["session-accept"] = "taken", ["session-terminate"] = "ended" };

-- A call that is over: its last steps may come from both sides.
local ENDED = {};

-- The media of a call; nil for what is none: files are offered so, too.
local function media_of(parents)
	local media;
	for _, parent in ipairs(parents) do
		for description in parent:childtags("description", RTP) do
			if media ~= "video" then media = description.attr.media == "video" and "video" or "audio"; end
		end
	end
	return media;
end

-- A step of a call, and whether it is one of a call that is known. Its end is reported as the caller's, whoever ended it.
function mapping:call(step, id, from, to, media, origin)
	if not id then return {}, false; end
	local from_id, to_id = account_id(from), account_id(to);
	local key, key_of_peer = ("%s %s %s"):format(from_id, to_id, id), ("%s %s %s"):format(to_id, from_id, id);
	local now = self.context.now_ms();
	if step == "started" then
		-- The session that follows a proposal has its id.
		if not media then return {}, false; end
		if (self.calls:get(key) or ENDED) ~= ENDED then return {}, true; end
		local in_contacts;
		local _, host = jid_split(to);
		if self.context.is_local(host) then in_contacts = self.context.is_contact(to, from) and true or false; end
		local act = self:act("call.started", from, { peer = to, media = media, in_contacts = in_contacts, origin = origin }, not self:is_known(from, to));
		act.call = { key = key, caller = from, callee = to, origin = origin };
		return { act }, true;
	end
	local call = self.calls:get(key);
	if not call or call == ENDED then call = self.calls:get(key_of_peer) or call; end
	if not call then return {}, false; end
	if call == ENDED then return {}, true; end
	if step == "taken" then
		if call.key == key_of_peer then call.taken_ms = now; end
		return {}, true;
	end
	self.calls:set(call.key, ENDED);
	local seconds = call.taken_ms and math.max(now - call.taken_ms, 0) // 1000 or 0;
	return { self:act("call.ended", call.caller, { peer = call.callee, seconds = seconds, origin = call.origin }) }, true;
end

-- What reaches a person, as a message.
function mapping:sent(from, to, carried, origin, via)
	local _, host = jid_split(to);
	local in_contacts;
	if self.context.is_local(host) then in_contacts = self.context.is_contact(to, from) and true or false; end
	return self:act("message.sent", from, {
		peer = to, size = carried.size, media = carried.media, via = via, in_contacts = in_contacts, origin = origin;
	}, not self:is_known(from, to));
end

-- An invitation reaches a stranger as a first message does, and counts as one beside.
function mapping:invited(invitations, stanza)
	local acts = {};
	for _, invitation in ipairs(invitations) do
		local account, peer = invitation.account, invitation.peer;
		if not self:is_known(account, peer) then
			acts[#acts + 1] = self:sent(account, peer, { size = content(stanza).size, media = "none" }, invitation.origin);
		end
		acts[#acts + 1] = self:act("group.member_added", account, invitation, true);
	end
	return acts;
end

-- A query to a client of somebody else: a session of media that is negotiated, or what else the client may show.
function mapping:iq(stanza, from, origin)
	local node, host, resource = jid_split(stanza.attr.to);
	local to = node and jid_bare(stanza.attr.to);
	if to and resource and self.context.is_local_room_host(host) then to = self.context.occupant(stanza.attr.to); end
	if not to or to == from or self.context.is_local_room_host((select(2, jid_split(to)))) then return {}; end
	if origin and self:has_asked(to, from) then return {}; end
	local jingle = stanza:get_child("jingle", JINGLE);
	local step = jingle and SESSIONS[jingle.attr.action or ""];
	if step then
		local contents = {};
		for part in jingle:childtags("content") do contents[#contents + 1] = part; end
		local acts, is_told = self:call(step, jingle.attr.sid, from, to, media_of(contents), origin);
		if is_told then return acts; end
	end
	-- The server answers what is sent to a bare JID.
	local carried = resource and content(stanza);
	if not carried or not carried.visible or self:is_known(from, to) then return {}; end
	carried.media = jingle and "other" or carried.media;
	return { self:sent(from, to, carried, origin) };
end

-- A message that a service passes on to several addresses (XEP-0033).
function mapping:addressed(stanza, from, origin)
	local acts, addresses = {}, stanza:get_child("addresses", "http://jabber.org/protocol/address");
	if not addresses or stanza.attr.type == "error" then return acts; end
	local carried = content(stanza, addresses);
	for address in addresses:childtags("address") do
		local jid = PASSED_TO[address.attr.type or ""] and jid_prep(address.attr.jid or "");
		local to, node, host = jid and jid_bare(jid), jid_split(jid);
		if node and to ~= from and not self.context.is_local_room_host(host)
			and (carried.size > 0 or (carried.visible and not self:is_known(from, to))) then
			acts[#acts + 1] = self:sent(from, to, carried, origin);
		end
	end
	return acts;
end

-- A message between two accounts, or to a room on another server. `origin`: the sender's domain,
-- where it is another server's.
function mapping:message(stanza, from, origin)
	local acts = {};
	local to = stanza.attr.to and jid_bare(stanza.attr.to);
	local node, host = jid_split(to);
	local kind = stanza.attr.type;
	if to and not node then return self:addressed(stanza, from, origin); end
	if not node or to == from or self.context.is_local_room_host(host) then return acts; end
	-- What a room of another server passes on: its sender is a nickname, no account.
	if origin and self:has_asked(to, from) then
		-- Who is written to by an occupant may answer it.
		if kind ~= "groupchat" and kind ~= "error" and jid_resource(stanza.attr.from) and content(stanza).size > 0 then
			self:remember(account_id(to), self.context.pseudonym(stanza.attr.from));
		end
		return acts;
	end
	if kind == "error" then
		-- An answer, which may repeat what it answers.
		local carried = content(stanza, stanza:get_child("error"));
		if carried.visible and not self:is_known(from, to) then acts[1] = self:sent(from, to, carried, origin); end
		return acts;
	end

	local in_room = not origin and self:is_in_room(from, to);
	local x = stanza:get_child("x", MUC_USER);
	if kind ~= "groupchat" then acts = self:invited(invitations_of(stanza, from, to, in_room, origin), stanza); end
	if #acts > 0 then return acts; end

	local is_composing = stanza:get_child("composing", CHAT_STATES);
	if in_room and kind ~= "groupchat" and jid_resource(stanza.attr.to) then
		return self:room_private(stanza, from, self.context.pseudonym(stanza.attr.to));
	end
	if in_room and (kind == "groupchat" or x) then
		local carried = content(stanza);
		if carried.size > 0 then
			acts[1] = self:act("message.sent", from, { group = to, size = carried.size, media = carried.media });
		elseif is_composing then
			acts[1] = self:typing_started(from, to, { group = to });
		end
		return acts;
	end

	local proposal = stanza:child_with_ns(JMI);
	local step = proposal and PROPOSALS[proposal.name];
	local called, is_told = {}, false;
	if step then called, is_told = self:call(step, proposal.attr.id, from, to, media_of { proposal }, origin); end
	local carried = content(stanza, is_told and proposal or nil);
	if carried.size > 0 or (carried.visible and not self:is_known(from, to)) then
		local act = self:sent(from, to, carried, origin);
		act.stanza_id = stanza.attr.id;
		acts[1] = act;
		if act.opens and self.context.is_local(host) and not self.context.user_exists(to) then
			acts[2] = self:act("message.undeliverable", from, { peer = to, reason = "not_registered", origin = origin });
		end
	end
	local is_sent = acts[1] ~= nil;
	local receipt, about = receipt_of(stanza);
	if receipt and about then
		local id = self.receipts:get(account_id(to) .. " " .. account_id(from) .. " " .. about);
		acts[#acts + 1] = self:act(receipt, from, { peer = to, message = id, origin = origin });
	end
	if is_composing and not is_sent then
		acts[#acts + 1] = self:typing_started(from, to, { peer = to, origin = origin });
	end
	for _, act in ipairs(called) do acts[#acts + 1] = act; end
	return acts;
end

-- What another server answered to a message of an account here.
function mapping:bounce(stanza)
	local from, to = jid_bare(stanza.attr.from), jid_bare(stanza.attr.to);
	local _, condition = stanza:get_error();
	if condition ~= "item-not-found" then return {}; end
	return { self:act("message.undeliverable", to, { peer = from, reason = "not_registered" }) };
end

-- A presence that is sent to one address: to join a room of another server, or with something to read.
function mapping:directed(stanza, from, to, origin)
	local node, host, resource = jid_split(stanza.attr.to);
	local context = self.context;
	if context.is_local_room_host(host) then return {}; end
	if origin and self:has_asked(to, from) then
		if stanza:get_child("x", MUC_USER) then self:joined_elsewhere(to, from); end
		return {};
	end
	if not origin and node and resource and not context.is_local(host) then
		if stanza:get_child("x", MUC) and not self:has_asked(from, to) then self:keep_room(from, to, "asked"); end
		if self:has_asked(from, to) then return {}; end
	end
	local carried = content(stanza);
	if not carried.visible or self:is_known(from, to) then return {}; end
	return { self:sent(from, to, carried, origin) };
end

-- A presence to one address; that of a subscription before the server changes the rosters.
function mapping:presence(stanza, from, origin)
	local kind, to = stanza.attr.type, stanza.attr.to and jid_bare(stanza.attr.to);
	local node = jid_split(to);
	if not node or to == from then return {}; end
	if not kind or kind == "unavailable" then return self:directed(stanza, from, to, origin); end
	local context = self.context;
	if kind == "subscribe" then
		-- The server sends the open requests of a roster again at each login.
		local again;
		if origin then again = context.is_pending_in(to, from) or context.is_contact(to, from);
		else again = context.is_pending_out(from, to) or context.is_subscribed(from, to); end
		if again then return {}; end
		return { self:act("contact.requested", from, { peer = to, origin = origin }, not self:is_known(from, to)) };
	end
	local asked;
	if origin then asked = context.is_pending_out(to, from);
	else asked = context.is_pending_in(from, to); end
	if not asked then return {}; end
	if kind == "subscribed" then
		self:remember(account_id(from), account_id(to));
		return { self:act("contact.accepted", from, { peer = to, origin = origin }) };
	elseif kind == "unsubscribed" then
		return { self:act("contact.refused", from, { peer = to, origin = origin }) };
	end
	return {};
end

-- A change of an account's own roster.
function mapping:roster(stanza, from)
	local query = stanza.tags[1];
	local item = query and #query.tags == 1 and query.tags[1].name == "item" and query.tags[1];
	local peer = item and jid_prep(item.attr.jid or "");
	if not peer or jid_resource(peer) or not jid_split(peer) or peer == from then return {}; end
	local had = self.context.has_item(from, peer);
	if item.attr.subscription == "remove" then
		return had and { self:act("contact.removed", from, { peer = peer }) } or {};
	end
	return had and {} or { self:act("contact.added", from, { peer = peer }) };
end

local REASONS = {
	["urn:xmpp:reporting:spam"] = "spam";
};

local function report_of(item)
	local report = item:get_child("report", "urn:xmpp:reporting:1");
	if report then return report, REASONS[report.attr.reason or ""] or "other"; end
	report = item:get_child("report", "urn:xmpp:reporting:0");
	if report then return report, report:get_child("spam") and "spam" or "other"; end
end

-- A block or unblock, and the report (XEP-0377) that may come with it; the report's text stays here.
function mapping:blocking(stanza, from)
	local acts, command = {}, stanza.tags[1];
	local type = command.name == "block" and "user.blocked" or "user.unblocked";
	local listed = {};
	for item in command:childtags("item") do
		local jid = jid_prep(item.attr.jid or "");
		-- A JID without a node is a domain.
		if jid and jid_split(jid) then listed[#listed + 1] = { jid_bare(jid), item }; end
	end
	if type == "user.unblocked" and not command:get_child("item") then
		for _, jid in ipairs(self.context.blocklist(from)) do
			if jid_split(jid) then listed[#listed + 1] = { jid_bare(jid) }; end
		end
	end
	for _, one in ipairs(listed) do
		local jid, item = one[1], one[2];
		local report, reason;
		if item and type == "user.blocked" then report, reason = report_of(item); end
		if report then
			local sid = report:get_child("stanza-id", "urn:xmpp:sid:0");
			local message = sid and sid.attr.id and self.archived:get(account_id(from) .. " " .. sid.attr.id);
			local act = self:act("user.reported", from, { peer = jid, reason = reason, message = message });
			-- What the reporter lets be done with it beside; nobody else is told without that.
			act.report = {
				about = jid, reason = report.attr.reason or "urn:xmpp:reporting:" .. (reason == "spam" and "spam" or "abuse");
				origin = report:get_child("report-origin") ~= nil, third_party = report:get_child("third-party") ~= nil;
			};
			acts[#acts + 1] = act;
		end
		acts[#acts + 1] = self:act(type, from, { peer = jid });
	end
	return acts;
end

-- An archive gave a message an id of its own, which reports name.
function mapping:archive(stanza, owner, archive_id)
	local from, to, id = stanza.attr.from, stanza.attr.to, stanza.attr.id;
	if not (from and to and id) then return; end
	local event_id = self.receipts:get(account_id(jid_bare(from)) .. " " .. account_id(jid_bare(to)) .. " " .. id);
	if event_id then self.archived:set(account_id(owner) .. " " .. archive_id, event_id); end
end

function mapping:registered(jid, ip)
	return self:act("account.registered", jid, { ip = ip }, true);
end

function mapping:session(jid, ip)
	return self:act("session.started", jid, { ip = ip });
end

function mapping:deleted(jid)
	return self:act("account.deleted", jid);
end

-- Rooms of this server. `from`: the occupant's own JID, never a nickname.
function mapping:room_created(from, room, origin)
	return self:act("group.created", from, { group = room, origin = origin }, true);
end

-- Who is invited and comes has accepted.
function mapping:room_joined(from, room, origin)
	local acts = { self:act("group.joined", from, { group = room, origin = origin }) };
	local key = account_id(room) .. " " .. account_id(from);
	local by = self.invitations:get(key);
	if by then
		self.invitations:set(key, nil);
		self:remember(account_id(from), by);
		acts[2] = self:act("contact.accepted", from, { peer = by, origin = origin });
	end
	return acts;
end

function mapping:room_left(from, room, origin)
	return self:act("group.left", from, { group = room, origin = origin });
end

function mapping:room_invitations(stanza, from, room, origin)
	local here = {};
	for _, invitation in ipairs(invitations_of(stanza, from, room, true, origin)) do
		if invitation.group == room then here[#here + 1] = invitation; end
	end
	return self:invited(here, stanza);
end

function mapping:room_message(stanza, from, room, recipients, origin, newcomer)
	local carried = content(stanza);
	if carried.size > 0 then
		local mentions, joined_s = mass_mention(stanza, room, newcomer);
		return { self:act("message.sent", from, {
			group = room, size = carried.size, media = carried.media, recipients = recipients, mentions = mentions, joined_s = joined_s, origin = origin;
		}, mentions ~= nil) };
	elseif stanza:get_child("composing", CHAT_STATES) then
		return { self:typing_started(from, room, { group = room, origin = origin }) };
	end
	return {};
end

-- A private message to an occupant of a room: of one here by its own JID, else by a pseudonym of its nickname.
function mapping:room_private(stanza, from, to, origin)
	local carried = content(stanza);
	if stanza.attr.type == "error" or from == to then return {}; end
	if carried.size == 0 and (not carried.visible or self:is_known(from, to)) then return {}; end
	return { self:sent(from, to, carried, origin, "group") };
end

return { new = new, account_id = account_id, carries = carries, is_visible = is_visible, harmless = listed };
