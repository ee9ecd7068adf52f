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

-- What is sent of each type, beside id, time, type and account. Wavebreak is told of exactly these, and no other field
-- leaves this server: a field that is sent and not declared is not judged.
local FIELDS = {
	["account.registered"] = { "ip", "attempted" };
	["account.deleted"] = {};
	["session.started"] = { "ip" };
	["typing.started"] = { "peer", "group", "origin" };
	["message.sent"] = { "peer", "group", "recipients", "in_contacts", "size", "media", "via", "origin", "attempted" };
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
	if not text then return nil; end
	local encoded = #text - select(2, text:gsub("%s", ""));
	local padding = #(text:match("=*%s*$"):gsub("%s", ""));
	return math.max(0, encoded // 4 * 3 - padding);
end

-- Bytes of the ciphertext, for the end-to-end encryptions that clients use; nil where there is none.
local function ciphertext_size(stanza)
	for _, xmlns in ipairs { "eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2", "urn:xmpp:omemo:1" } do
		local encrypted = stanza:get_child("encrypted", xmlns);
		local payload = encrypted and encrypted:get_child("payload");
		if payload then return base64_bytes(payload:get_text() or ""); end
		-- Without a payload it only carries keys.
		if encrypted then return nil; end
	end
	local openpgp = stanza:get_child("openpgp", "urn:xmpp:openpgp:0") or stanza:get_child("x", "jabber:x:encrypted");
	return openpgp and base64_bytes(openpgp:get_text() or "");
end

local function is_encrypted(stanza)
	return stanza:get_child("encrypted", "eu.siacs.conversations.axolotl")
		or stanza:get_child("encrypted", "urn:xmpp:omemo:2")
		or stanza:get_child("encrypted", "urn:xmpp:omemo:1")
		or stanza:get_child("openpgp", "urn:xmpp:openpgp:0")
		or stanza:get_child("x", "jabber:x:encrypted");
end

-- What a message carries: its size and kind of media; nil for one without text or ciphertext.
local function payload(stanza)
	if is_encrypted(stanza) then
		-- The body beside it is a fixed hint for clients that cannot decrypt.
		local size = ciphertext_size(stanza);
		return size and { size = size };
	end
	local body = stanza:get_child_text("body");
	if not body or body == "" then return nil; end
	local shared = stanza:get_child("x", "jabber:x:oob") or stanza:get_child("file-sharing", "urn:xmpp:sfs:0");
	return { size = #body, media = shared and "other" or "none" };
end

local mapping = {};
local mapping_mt = { __index = mapping };

-- `context`: new_id() and now_ms() of the server; is_contact(owner, jid), is_pending_in(owner, jid),
-- is_pending_out(owner, jid), is_subscribed(owner, jid), has_item(owner, jid), user_exists(jid),
-- is_local(host), is_local_room_host(host), blocklist(owner).
local function new(context)
	return setmetatable({
		context = context;
		receipts = cache.new(20000); -- sender, recipient, stanza id → event id
		archived = cache.new(20000); -- owner, archive id → event id
		typing = cache.new(5000);
		calls = cache.new(20000); -- caller, callee, session id → who, and when it was taken
		pairs = cache.new(context.pairs or 200000);
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
	local received = stanza:get_child("received", "urn:xmpp:receipts") or stanza:get_child("received", "urn:xmpp:chat-markers:0");
	if received then return "message.delivered", received.attr.id; end
	local displayed = stanza:get_child("displayed", "urn:xmpp:chat-markers:0");
	if displayed then return "message.read", displayed.attr.id; end
end

-- A direct invitation to a room (XEP-0249), or a mediated one that a remote room passes on.
local function invitations_of(stanza, from, to)
	local direct = stanza:get_child("x", "jabber:x:conference");
	local room = direct and jid_prep(direct.attr.jid or "");
	if room then return { { group = jid_bare(room), peer = to } }; end
	local mediated = {};
	local x = stanza:get_child("x", "http://jabber.org/protocol/muc#user");
	for invite in (x and x:childtags("invite") or function() end) do
		local invitee = jid_prep(invite.attr.to or "");
		if invitee and jid_bare(invitee) ~= from then
			mediated[#mediated + 1] = { group = to, peer = jid_bare(invitee) };
		end
	end
	return mediated;
end

local JMI, JINGLE, RTP = "urn:xmpp:jingle-message:0", "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1";

-- What a proposal of a call (XEP-0353), or a session (XEP-0166), says of it.
local PROPOSALS = { propose = "started", proceed = "taken", retract = "ended", reject = "ended", finish = "ended" };
local SESSIONS = { ["session-initiate"] = "started", ["session-accept"] = "taken", ["session-terminate"] = "ended" };

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

-- A step of a call. Its end is reported as the caller's, whoever ended it.
function mapping:call(step, id, from, to, media, origin)
	if not id then return {}; end
	local from_id, to_id = account_id(from), account_id(to);
	local key, key_of_peer = ("%s %s %s"):format(from_id, to_id, id), ("%s %s %s"):format(to_id, from_id, id);
	local now = self.context.now_ms();
	if step == "started" then
		-- The session that follows a proposal has its id.
		if not media or self.calls:get(key) then return {}; end
		local in_contacts;
		local _, host = jid_split(to);
		if self.context.is_local(host) then in_contacts = self.context.is_contact(to, from) and true or false; end
		local act = self:act("call.started", from, { peer = to, media = media, in_contacts = in_contacts, origin = origin }, not self:is_known(from, to));
		act.call = { key = key, caller = from, callee = to, origin = origin };
		return { act };
	end
	local call = self.calls:get(key) or self.calls:get(key_of_peer);
	if not call then return {}; end
	if step == "taken" then
		if call.key == key_of_peer then call.taken_ms = now; end
		return {};
	end
	self.calls:set(call.key, nil);
	local seconds = call.taken_ms and math.max(now - call.taken_ms, 0) // 1000 or 0;
	return { self:act("call.ended", call.caller, { peer = call.callee, seconds = seconds, origin = call.origin }) };
end

-- A session of media that an account negotiates with another one.
function mapping:jingle(stanza, from, origin)
	local to = stanza.attr.to and jid_bare(stanza.attr.to);
	local node, host = jid_split(to);
	local jingle = stanza:get_child("jingle", JINGLE);
	local step = jingle and SESSIONS[jingle.attr.action or ""];
	if not step or not node or to == from or self.context.is_local_room_host(host) then return {}; end
	local contents = {};
	for content in jingle:childtags("content") do contents[#contents + 1] = content; end
	return self:call(step, jingle.attr.sid, from, to, media_of(contents), origin);
end

-- A message between two accounts, or to a room on another server. `origin`: the sender's domain,
-- where it is another server's.
function mapping:message(stanza, from, origin)
	local acts = {};
	local to = stanza.attr.to and jid_bare(stanza.attr.to);
	local node, host = jid_split(to);
	local kind = stanza.attr.type;
	if not to or to == from or kind == "error" or self.context.is_local_room_host(host) then return acts; end
	if not node then return acts; end
	local from_room = stanza:get_child("x", "http://jabber.org/protocol/muc#user");
	-- What a room of another server passes on: its sender is a nickname, no account.
	if origin and (kind == "groupchat" or from_room) then return acts; end

	local invitations = kind ~= "groupchat" and invitations_of(stanza, from, to) or {};
	for _, invitation in ipairs(invitations) do
		acts[#acts + 1] = self:act("group.member_added", from, { group = invitation.group, peer = invitation.peer, origin = origin }, true);
	end
	if #acts > 0 then return acts; end

	local carried = payload(stanza);
	if kind == "groupchat" or from_room then
		if carried then
			acts[1] = self:act("message.sent", from, { group = to, size = carried.size, media = carried.media, origin = origin });
		elseif stanza:get_child("composing", "http://jabber.org/protocol/chatstates") then
			acts[1] = self:typing_started(from, to, { group = to, origin = origin });
		end
		return acts;
	end

	local receipt, about = receipt_of(stanza);
	if receipt and about then
		local id = self.receipts:get(account_id(to) .. " " .. account_id(from) .. " " .. about);
		acts[#acts + 1] = self:act(receipt, from, { peer = to, message = id, origin = origin });
	end
	if carried then
		local opens, here = not self:is_known(from, to), self.context.is_local(host);
		local in_contacts;
		if here then in_contacts = self.context.is_contact(to, from) and true or false; end
		local act = self:act("message.sent", from, {
			peer = to, size = carried.size, media = carried.media, in_contacts = in_contacts, origin = origin;
		}, opens);
		act.stanza_id = stanza.attr.id;
		table.insert(acts, 1, act);
		if here and opens and not self.context.user_exists(to) then
			acts[#acts + 1] = self:act("message.undeliverable", from, { peer = to, reason = "not_registered", origin = origin });
		end
	elseif stanza:get_child("composing", "http://jabber.org/protocol/chatstates") then
		acts[#acts + 1] = self:typing_started(from, to, { peer = to, origin = origin });
	end
	local proposal = stanza:child_with_ns(JMI);
	local step = proposal and PROPOSALS[proposal.name];
	if step then
		for _, act in ipairs(self:call(step, proposal.attr.id, from, to, media_of { proposal }, origin)) do acts[#acts + 1] = act; end
	end
	return acts;
end

-- What another server answered to a message of an account here.
function mapping:bounce(stanza)
	local from, to = jid_bare(stanza.attr.from), jid_bare(stanza.attr.to);
	local _, condition = stanza:get_error();
	if condition ~= "item-not-found" then return {}; end
	return { self:act("message.undeliverable", to, { peer = from, reason = "not_registered" }) };
end

-- A subscription stanza, before the server changes the rosters.
function mapping:presence(stanza, from, origin)
	local kind, to = stanza.attr.type, stanza.attr.to and jid_bare(stanza.attr.to);
	local node = jid_split(to);
	if not node or to == from then return {}; end
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
			acts[#acts + 1] = self:act("user.reported", from, { peer = jid, reason = reason, message = message });
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

function mapping:room_joined(from, room, origin)
	return self:act("group.joined", from, { group = room, origin = origin });
end

function mapping:room_left(from, room, origin)
	return self:act("group.left", from, { group = room, origin = origin });
end

function mapping:room_invitations(stanza, from, room, origin)
	local acts = {};
	for _, invitation in ipairs(invitations_of(stanza, from, room)) do
		acts[#acts + 1] = self:act("group.member_added", from, { group = room, peer = invitation.peer, origin = origin }, true);
	end
	return acts;
end

function mapping:room_message(stanza, from, room, recipients, origin)
	local carried = payload(stanza);
	if carried then
		return { self:act("message.sent", from, {
			group = room, size = carried.size, media = carried.media, recipients = recipients, origin = origin;
		}) };
	elseif stanza:get_child("composing", "http://jabber.org/protocol/chatstates") then
		return { self:typing_started(from, room, { group = room, origin = origin }) };
	end
	return {};
end

-- A private message to an occupant of a room here, by the occupant's own JID.
function mapping:room_private(stanza, from, to, origin)
	local carried = stanza.attr.type ~= "error" and payload(stanza);
	if not carried or from == to then return {}; end
	return { self:act("message.sent", from, {
		peer = to, size = carried.size, media = carried.media, via = "group", origin = origin;
		in_contacts = self.context.is_contact(to, from) and true or false;
	}, not self:is_known(from, to)) };
end

return { new = new, account_id = account_id, carries = carries };
