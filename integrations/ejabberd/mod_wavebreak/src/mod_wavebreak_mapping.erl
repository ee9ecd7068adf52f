%%% Stanzas to Wavebreak's events. No text, name or resource of a stanza leaves this file.
%%%
%%% Copyright (C) 2026 the Wavebreak authors
%%%
%%% This program is free software; you can redistribute it and/or modify it under the terms of the GNU
%%% General Public License as published by the Free Software Foundation; either version 2 of the License,
%%% or (at your option) any later version.
%%%
%%% This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even
%%% the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General
%%% Public License for more details.

-module(mod_wavebreak_mapping).

-export([message/4, iq/4, bounce/2, presence/4, roster/3, blocking/3, archive/4]).
-export([registered/3, session/3, deleted/2]).
-export([room_created/4, room_joined/4, room_left/4, room_invitations/5, room_message/7, room_private/5]).
-export([done/2, asked_in_vain/4, is_known/3, account_id/1, bare/1, carries/1, is_visible/1, harmless/0]).

-define(TYPING_MS, 10000).
-define(MAX_ID_BYTES, 255).
%% A message that mentions so many people of a room in which its sender is new, is a mass mention (ADR 51). A nickname
%% of fewer bytes is a word as well; so much of a text is searched.
-define(MASS_MENTION, 10).
-define(LEAST_NICK, 3).
-define(MOST_SEARCHED, 65536).
%% A JID has 3,071 bytes at most.
-define(MOST_ADDRESS, 4096).
-define(NS_CHATSTATES, <<"http://jabber.org/protocol/chatstates">>).
-define(NS_JMI, <<"urn:xmpp:jingle-message:0">>).
-define(NS_JINGLE, <<"urn:xmpp:jingle:1">>).
-define(NS_RTP, <<"urn:xmpp:jingle:apps:rtp:1">>).
-define(NS_MUC, <<"http://jabber.org/protocol/muc">>).
-define(NS_MUC_USER, <<"http://jabber.org/protocol/muc#user">>).
-define(NS_CLIENT, <<"jabber:client">>).
-define(NS_AXOLOTL, <<"eu.siacs.conversations.axolotl">>).
-define(NS_OMEMO_1, <<"urn:xmpp:omemo:1">>).
-define(NS_OMEMO_2, <<"urn:xmpp:omemo:2">>).
-define(IS_OMEMO(NS), (NS =:= ?NS_AXOLOTL orelse NS =:= ?NS_OMEMO_1 orelse NS =:= ?NS_OMEMO_2)).

%% What is sent of each type, beside id, time, type and account. Wavebreak is told of exactly these, and no
%% other field leaves this server: a field that is sent and not declared is not judged.
-define(FIELDS,
        #{<<"account.registered">> => [ip, attempted],
          <<"account.deleted">> => [],
          <<"session.started">> => [ip],
          <<"typing.started">> => [peer, group, origin],
          <<"message.sent">> => [peer, group, recipients, in_contacts, size, media, mentions, joined_s, via, origin, attempted],
          <<"message.delivered">> => [peer, message, origin],
          <<"message.read">> => [peer, message, origin],
          <<"message.undeliverable">> => [peer, reason, origin],
          <<"call.started">> => [peer, media, in_contacts, origin, attempted],
          <<"call.ended">> => [peer, seconds, origin],
          <<"contact.requested">> => [peer, origin, attempted],
          <<"contact.accepted">> => [peer, origin],
          <<"contact.refused">> => [peer, origin],
          <<"contact.added">> => [peer],
          <<"contact.removed">> => [peer],
          <<"group.created">> => [group, origin, attempted],
          <<"group.member_added">> => [group, peer, origin, attempted],
          <<"group.joined">> => [group, origin],
          <<"group.left">> => [group, origin],
          <<"user.reported">> => [peer, reason, message],
          <<"user.blocked">> => [peer],
          <<"user.unblocked">> => [peer]}).

%% The option without which a type, or a field of any type, is not sent.
-define(ONLY_WITH,
        #{<<"contact.added">> => contacts, <<"contact.removed">> => contacts,
          <<"message.delivered">> => receipts, <<"message.read">> => receipts,
          origin => remote}).

%% What a stanza may carry to anybody: no client shows it. Whatever is not here is an act of its sender. The
%% modules' tables are one: elements.jsonl beside the golden file has them, and a test compares.
-define(HARMLESS,
        #{<<"message">> =>
              #{?NS_CLIENT => [<<"thread">>],
                <<"urn:xmpp:receipts">> => [<<"received">>, <<"request">>],
                <<"urn:xmpp:chat-markers:0">> => [<<"acknowledged">>, <<"displayed">>, <<"markable">>, <<"received">>],
                ?NS_CHATSTATES => [<<"active">>, <<"composing">>, <<"gone">>, <<"inactive">>, <<"paused">>],
                ?NS_MUC_USER => [<<"x">>],
                ?NS_AXOLOTL => [<<"encrypted">>],
                ?NS_OMEMO_1 => [<<"encrypted">>],
                ?NS_OMEMO_2 => [<<"encrypted">>],
                <<"urn:xmpp:carbons:2">> => [<<"private">>],
                <<"urn:xmpp:delay">> => [<<"delay">>],
                <<"urn:xmpp:eme:0">> => [<<"encryption">>],
                <<"urn:xmpp:hints">> => [<<"no-copy">>, <<"no-permanent-store">>, <<"no-store">>, <<"store">>],
                <<"urn:xmpp:sid:0">> => [<<"origin-id">>, <<"stanza-id">>]},
          <<"presence">> =>
              #{?NS_CLIENT => [<<"priority">>, <<"show">>, <<"status">>],
                <<"http://jabber.org/protocol/caps">> => [<<"c">>],
                <<"jabber:iq:last">> => [<<"query">>],
                <<"jabber:x:signed">> => [<<"x">>],
                <<"urn:xmpp:delay">> => [<<"delay">>],
                <<"urn:xmpp:idle:1">> => [<<"idle">>],
                <<"vcard-temp:x:update">> => [<<"x">>]},
          <<"iq">> =>
              #{?NS_JINGLE => [<<"jingle">>],
                <<"http://jabber.org/protocol/disco#info">> => [<<"query">>],
                <<"http://jabber.org/protocol/disco#items">> => [<<"query">>],
                <<"http://jabber.org/protocol/pubsub">> => [<<"pubsub">>],
                <<"jabber:iq:last">> => [<<"query">>],
                <<"jabber:iq:time">> => [<<"query">>],
                <<"jabber:iq:version">> => [<<"query">>],
                <<"urn:ietf:params:xml:ns:vcard-4.0">> => [<<"vcard">>],
                <<"urn:xmpp:bob">> => [<<"data">>],
                <<"urn:xmpp:ping">> => [<<"ping">>],
                <<"urn:xmpp:time">> => [<<"time">>],
                <<"vcard-temp">> => [<<"vCard">>]}}).

%% A context holds functions: new_id/0, now_ms/0, item/2 (owner, JID: none or {Subscription, Ask}),
%% pending_in/2, user_exists/1, is_local/1 and is_room_host/1 (of a domain), occupant/1 (of a JID: the occupant's
%% own, or none), pseudonym/1, blocklist/1, get/2 and put/3 (a bounded cache: receipts, archived, typing, pairs, calls, invitations, rooms).
%% An act is #{event, opens} and, of a message, stanza_id, of a call, its key and who is in it.

%% The types and fields that are sent; `Options`: contacts, receipts and remote.
carries(Options) ->
    On = fun(Name) ->
                 case ?ONLY_WITH of
                     #{Name := Option} -> maps:get(Option, Options);
                     #{} -> true
                 end
         end,
    lists:sort(lists:append([[Type | [<<Type/binary, $., (atom_to_binary(Field))/binary>> || Field <- Fields, On(Field)]]
                             || {Type, Fields} <- maps:to_list(?FIELDS), On(Type)])).

%% The schema takes ids of up to 255 bytes; a JID may have 3,071.
account_id(JID) when byte_size(JID) =< ?MAX_ID_BYTES -> JID;
account_id(JID) -> <<"sha256:", (str:to_hexlist(crypto:hash(sha256, JID)))/binary>>.

bare(JID) -> hd(binary:split(JID, <<"/">>)).

domain(JID) ->
    case binary:split(bare(JID), <<"@">>) of
        [_, Host] -> Host;
        [Host] -> Host
    end.

has_node(JID) -> binary:match(bare(JID), <<"@">>) =/= nomatch.

%% A prepared JID, or none.
prep(undefined) -> none;
prep(JID) ->
    try jid:encode(jid:tolower(jid:decode(JID))) catch _:_ -> none end.

%% XML

attr(Name, {xmlel, _, Attrs, _}) -> proplists:get_value(Name, Attrs).

children({xmlel, _, _, Children}) -> [Child || {xmlel, _, _, _} = Child <- Children].

child(Name, El) -> child(Name, El, undefined).

child(Name, El, NS) ->
    case [C || {xmlel, N, _, _} = C <- children(El), N =:= Name, NS =:= undefined orelse attr(<<"xmlns">>, C) =:= NS] of
        [First | _] -> First;
        [] -> none
    end.

text(none) -> <<>>;
text({xmlel, _, _, Children}) -> iolist_to_binary([Data || {xmlcdata, Data} <- Children]).

%% What a message carries

base64_bytes(Text) ->
    Encoded = << <<C>> || <<C>> <= Text, C > 32 >>,
    Padding = byte_size(Encoded) - byte_size(string:trim(Encoded, trailing, "=")),
    max(0, byte_size(Encoded) div 4 * 3 - Padding).

harmless() ->
    lists:sort([iolist_to_binary([Stanza, $\s, NS, $\s, Name])
                || {Stanza, Spaces} <- maps:to_list(?HARMLESS), {NS, Names} <- maps:to_list(Spaces), Name <- Names]).

namespace(El, Child) ->
    case {attr(<<"xmlns">>, Child), attr(<<"xmlns">>, El)} of
        {undefined, _} -> ?NS_CLIENT;
        {NS, NS} -> ?NS_CLIENT;
        {NS, _} -> NS
    end.

is_harmless({xmlel, Stanza, _, _} = El, {xmlel, Name, _, _} = Child) ->
    NS = namespace(El, Child),
    case ?HARMLESS of
        #{Stanza := #{NS := Names}} -> lists:member(Name, Names) andalso is_harmless_as(Name, NS, Child);
        #{} -> false
    end.

%% What a listed element has to be as well.
%% Without a payload it only carries keys.
is_harmless_as(<<"encrypted">>, _, Child) -> [Name || {xmlel, Name, _, _} <- children(Child), Name =/= <<"header">>] =:= [];
is_harmless_as(<<"jingle">>, _, Child) -> attr(<<"action">>, Child) =/= <<"session-initiate">>;
is_harmless_as(<<"show">>, _, Child) -> lists:member(text(Child), [<<"away">>, <<"chat">>, <<"dnd">>, <<"xa">>]);
is_harmless_as(<<"status">>, _, {xmlel, _, _, Parts}) -> Parts =:= [];
%% A room writes into it; of a client it is a mark of a private message.
is_harmless_as(_, ?NS_MUC_USER, Child) -> children(Child) =:= [];
is_harmless_as(_, _, _) -> true.

all_text({xmlel, _, _, Parts}) -> iolist_to_binary([case Part of {xmlcdata, Data} -> Data; _ -> all_text(Part) end || Part <- Parts]).

%% What a stanza carries: whether any of it may be shown, and the bytes of its texts in all languages, or of its
%% ciphertext; `Except`: an element that counts otherwise.
content(El) -> content(El, none).

content(El, Except) ->
    Seen = [{namespace(El, Child), Name, Child} || {xmlel, Name, _, _} = Child <- children(El), Child =/= Except, not is_harmless(El, Child)],
    Plain = lists:sum([plain_size(NS, Name, Child) || {NS, Name, Child} <- Seen]),
    case lists:sum([cipher_size(NS, Name, Child) || {NS, Name, Child} <- Seen]) of
        0 ->
            Shared = [C || {NS, Name, C} <- Seen, {NS, Name} =:= {<<"jabber:x:oob">>, <<"x">>} orelse {NS, Name} =:= {<<"urn:xmpp:sfs:0">>, <<"file-sharing">>}],
            #{visible => Seen =/= [], size => Plain, media => case Shared of [] -> <<"none">>; _ -> <<"other">> end};
        Cipher ->
            %% The body beside a ciphertext is a fixed hint for clients that cannot decrypt.
            Hint = case [C || {?NS_CLIENT, <<"body">>, C} <- Seen] of [Body | _] -> byte_size(all_text(Body)); [] -> 0 end,
            #{visible => true, size => Cipher + Plain - Hint}
    end.

plain_size(?NS_CLIENT, Name, Child) when Name =:= <<"body">>; Name =:= <<"subject">>; Name =:= <<"status">> -> byte_size(all_text(Child));
plain_size(<<"http://jabber.org/protocol/xhtml-im">>, <<"html">>, Child) -> byte_size(all_text(Child));
plain_size(_, _, _) -> 0.

cipher_size(NS, <<"encrypted">>, Child) when ?IS_OMEMO(NS) ->
    case child(<<"payload">>, Child) of
        none -> 0;
        Payload -> base64_bytes(all_text(Payload))
    end;
cipher_size(<<"urn:xmpp:openpgp:0">>, <<"openpgp">>, Child) -> base64_bytes(all_text(Child));
cipher_size(<<"jabber:x:encrypted">>, <<"x">>, Child) -> base64_bytes(all_text(Child));
cipher_size(_, _, _) -> 0.

%% Whether a stanza to somebody else may show that person anything: of an account that may do nothing, it goes nowhere.
is_visible({xmlel, Stanza, _, _} = El) ->
    case {Stanza, attr(<<"type">>, El)} of
        {<<"presence">>, <<"subscribe">>} -> true;
        {<<"presence">>, Type} when Type =/= undefined, Type =/= <<"unavailable">> -> false;
        {<<"iq">>, Type} when Type =/= <<"get">>, Type =/= <<"set">> -> false;
        %% An error may repeat what it answers.
        {_, <<"error">>} -> maps:get(visible, content(El, child(<<"error">>, El)));
        _ -> maps:get(visible, content(El))
    end.

is_composing(El) -> child(<<"composing">>, El, ?NS_CHATSTATES) =/= none.

%% Events

event(#{new_id := NewId, now_ms := Now}, Type, Account, Fields) ->
    Known = maps:filter(fun(_, Value) -> Value =/= undefined end, maps:with(maps:get(Type, ?FIELDS), Fields)),
    Ids = maps:map(fun(Name, Value) when Name =:= peer; Name =:= group -> account_id(Value); (_, Value) -> Value end, Known),
    Ids#{type => Type, account => account_id(Account), id => NewId(), ts => Now()}.

act(Ctx, Type, Account, Fields) -> act(Ctx, Type, Account, Fields, false).

act(Ctx, Type, Account, Fields, Opens) -> #{event => event(Ctx, Type, Account, Fields), opens => Opens}.

%% A pair that has written, in either direction, is no first contact.
remember(#{put := Put}, A, B) ->
    Put(pairs, {A, B}, true),
    Put(pairs, {B, A}, true).

is_contact(#{item := Item}, Owner, JID) -> Item(Owner, JID) =/= none.

is_subscribed(#{item := Item}, Owner, JID) ->
    case Item(Owner, JID) of
        {Subscription, _} when Subscription =:= to; Subscription =:= both -> true;
        _ -> false
    end.

is_pending_out(#{item := Item}, Owner, JID) ->
    case Item(Owner, JID) of
        {_, Ask} when Ask =:= out; Ask =:= both; Ask =:= subscribe -> true;
        _ -> false
    end.

is_known(#{get := Get} = Ctx, Account, Peer) ->
    Get(pairs, {account_id(Account), account_id(Peer)}) =/= none
        orelse is_contact(Ctx, Peer, Account) orelse is_subscribed(Ctx, Account, Peer).

%% After an act was allowed, or could not be asked.
done(#{put := Put} = Ctx, #{event := #{type := Type, account := Account, id := Id} = Event, opens := Opens} = Act) ->
    case Event of
        #{peer := Peer} when Opens, Type =:= <<"message.sent">> -> remember(Ctx, Account, Peer);
        #{peer := Peer, group := Group} when Type =:= <<"group.member_added">> -> Put(invitations, {Group, Peer}, Account);
        _ -> ok
    end,
    case Act of
        #{call := {Key, Call}} -> Put(calls, Key, Call);
        _ -> ok
    end,
    case {Act, Event} of
        {#{stanza_id := StanzaId}, #{peer := To}} when StanzaId =/= undefined ->
            Put(receipts, {Account, To, StanzaId}, Id);
        _ -> ok
    end,
    ok.

typing(#{now_ms := Now, get := Get, put := Put} = Ctx, Account, Where, Fields) ->
    Time = Now(),
    case Get(typing, {Account, Where}) of
        {ok, Last} when Time - Last < ?TYPING_MS -> [];
        _ ->
            Put(typing, {Account, Where}, Time),
            [act(Ctx, <<"typing.started">>, Account, Fields)]
    end.

receipt(El) ->
    Received = [C || NS <- [<<"urn:xmpp:receipts">>, <<"urn:xmpp:chat-markers:0">>],
                     (C = child(<<"received">>, El, NS)) =/= none],
    case {Received, child(<<"displayed">>, El, <<"urn:xmpp:chat-markers:0">>)} of
        {[C | _], _} -> {<<"message.delivered">>, attr(<<"id">>, C)};
        {[], none} -> {none, undefined};
        {[], C} -> {<<"message.read">>, attr(<<"id">>, C)}
    end.

%% Whether an account has asked to join a room of another server; what it has not asked to join may be anybody.
has_asked(#{get := Get}, Account, Room) -> Get(rooms, {account_id(Account), account_id(Room)}) =/= none.

%% Whether that room has answered as rooms do.
is_in_room(#{get := Get}, Account, Room) -> Get(rooms, {account_id(Account), account_id(Room)}) =:= {ok, joined}.

%% Who invites by a room of another server: its word is taken for accounts of its own server alone.
inviter(Invite, Room) ->
    RoomHost = domain(Room),
    case prep(attr(<<"from">>, Invite)) of
        Inviter when is_binary(Inviter) ->
            Host = domain(Inviter),
            Tail = <<$., Host/binary>>,
            Rest = byte_size(RoomHost) - byte_size(Tail),
            case has_node(Inviter) andalso Rest >= 0 andalso binary:part(RoomHost, Rest, byte_size(Tail)) =:= Tail of
                true -> {bare(Inviter), Host};
                false -> {Room, RoomHost}
            end;
        none -> {Room, RoomHost}
    end.

%% Invitations to rooms: direct ones (XEP-0249), and mediated ones, which go to a room or come from one.
invitations(El, From, To, ByRoom, Origin) ->
    X = child(<<"x">>, El, ?NS_MUC_USER),
    Invites = case X of none -> []; _ -> [C || {xmlel, <<"invite">>, _, _} = C <- children(X)] end,
    case lists:append([mediated(Invite, From, To, ByRoom, Origin) || Invite <- Invites]) of
        [] ->
            Direct = child(<<"x">>, El, <<"jabber:x:conference">>),
            case Direct =/= none andalso prep(attr(<<"jid">>, Direct)) of
                Room when is_binary(Room) -> [{From, #{group => bare(Room), peer => To, origin => Origin}}];
                _ -> []
            end;
        Mediated -> Mediated
    end.

mediated(Invite, From, To, true, Origin) ->
    case prep(attr(<<"to">>, Invite)) of
        none -> [];
        Invitee -> [{From, #{group => To, peer => bare(Invitee), origin => Origin}} || bare(Invitee) =/= From]
    end;
mediated(Invite, From, To, false, Origin) ->
    case Origin =/= undefined andalso attr(<<"from">>, Invite) =/= undefined of
        true ->
            {Inviter, Host} = inviter(Invite, From),
            [{Inviter, #{group => From, peer => To, origin => Host}}];
        false -> []
    end.

%% A message between two accounts, or to a room on another server. `Origin`: the sender's domain,
%% where it is another server's, else undefined.
message(#{is_room_host := IsRoomHost} = Ctx, El, From, Origin) ->
    To = prep(attr(<<"to">>, El)),
    Counted = To =/= none andalso has_node(To) andalso bare(To) =/= From andalso not IsRoomHost(domain(To)),
    %% What a room of another server passes on has a nickname as its sender, no account.
    Passed = Counted andalso Origin =/= undefined andalso has_asked(Ctx, bare(To), From),
    case {Counted andalso not Passed, attr(<<"type">>, El)} of
        {false, Type} when To =/= none, Type =/= <<"error">>, not Passed -> addressed(Ctx, El, From, To, Origin);
        {false, Type} ->
            [passed(Ctx, El, bare(To)) || Passed, Type =/= <<"groupchat">>, Type =/= <<"error">>],
            [];
        {true, <<"error">>} ->
            %% An answer, which may repeat what it answers.
            Carried = content(El, child(<<"error">>, El)),
            shown(Ctx, From, bare(To), Carried#{size := 0}, #{}, Origin, maps:get(size, Carried));
        {true, Type} -> counted_message(Ctx, El, From, To, Origin, Type)
    end.

%% A message that a service passes on to several addresses (XEP-0033).
addressed(#{is_room_host := IsRoomHost} = Ctx, El, From, To, Origin) ->
    Addresses = child(<<"addresses">>, El, <<"http://jabber.org/protocol/address">>),
    case not has_node(To) andalso Addresses =/= none of
        true ->
            Carried = content(El, Addresses),
            Listed = [prep(attr(<<"jid">>, C)) || {xmlel, <<"address">>, _, _} = C <- children(Addresses),
                                                  lists:member(attr(<<"type">>, C), [<<"bcc">>, <<"cc">>, <<"to">>])],
            lists:append([shown(Ctx, From, bare(JID), Carried, #{}, Origin, 0)
                          || JID <- Listed, JID =/= none, has_node(JID), bare(JID) =/= From, not IsRoomHost(domain(JID))]);
        false -> []
    end.

%% Who is written to by an occupant may answer it.
passed(#{pseudonym := Pseudonym} = Ctx, El, To) ->
    case {prep(attr(<<"from">>, El)), content(El)} of
        {_, #{size := 0}} -> ok;
        {none, _} -> ok;
        {Occupant, _} -> remember(Ctx, account_id(To), Pseudonym(Occupant))
    end.

%% What has no text counts where it reaches a stranger.
shown(Ctx, From, To, #{visible := Visible, size := 0} = Carried, More, Origin, Size) ->
    case Visible andalso not is_known(Ctx, From, To) of
        true -> [sent(Ctx, From, To, Carried#{size := Size}, More, Origin)];
        false -> []
    end;
shown(Ctx, From, To, Carried, More, Origin, _) -> [sent(Ctx, From, To, Carried, More, Origin)].

counted_message(#{pseudonym := Pseudonym} = Ctx, El, From, Full, Origin, Type) ->
    To = bare(Full),
    InRoom = Origin =:= undefined andalso is_in_room(Ctx, From, To),
    Invitations = case Type of <<"groupchat">> -> []; _ -> invitations(El, From, To, InRoom, Origin) end,
    IsGroup = InRoom andalso (Type =:= <<"groupchat">> orelse child(<<"x">>, El, ?NS_MUC_USER) =/= none),
    case {Invitations, IsGroup} of
        {[_ | _], _} -> invited(Ctx, Invitations, El);
        {[], _} when InRoom, Type =/= <<"groupchat">>, Full =/= To -> room_private(Ctx, El, From, Pseudonym(Full), undefined);
        {[], true} -> group_message(Ctx, El, From, To, #{});
        {[], false} -> direct_message(Ctx, El, From, To, Origin)
    end.

%% An invitation reaches a stranger as a first message does, and counts as one beside.
invited(Ctx, Invitations, El) ->
    Carried = #{size => maps:get(size, content(El)), media => <<"none">>},
    lists:append([begin
                      Sent = [sent(Ctx, Account, Peer, Carried, #{}, Origin) || not is_known(Ctx, Account, Peer)],
                      Sent ++ [act(Ctx, <<"group.member_added">>, Account, Fields, true)]
                  end || {Account, #{peer := Peer, origin := Origin} = Fields} <- Invitations]).

group_message(Ctx, El, From, Room, More) ->
    case {content(El), is_composing(El)} of
        {#{size := 0}, true} -> typing(Ctx, From, Room, More#{group => Room});
        {#{size := 0}, false} -> [];
        {Carried, _} -> [act(Ctx, <<"message.sent">>, From, maps:merge(Carried, More#{group => Room}))]
    end.

direct_message(#{get := Get, is_local := IsLocal, user_exists := Exists} = Ctx, El, From, To, Origin) ->
    {Proposal, Called} = proposal(Ctx, El, From, To, Origin),
    Sent = [Act#{stanza_id => attr(<<"id">>, El)} || Act <- shown(Ctx, From, To, content(El, Proposal), #{}, Origin, 0)],
    Unknown = [act(Ctx, <<"message.undeliverable">>, From, #{peer => To, reason => <<"not_registered">>, origin => Origin})
               || #{opens := true} <- Sent, IsLocal(domain(To)), not Exists(To)],
    {Receipt, About} = receipt(El),
    Receipts =
        case Receipt =/= none andalso About =/= undefined of
            true ->
                Message = case Get(receipts, {account_id(To), account_id(From), About}) of {ok, Id} -> Id; _ -> undefined end,
                [act(Ctx, Receipt, From, #{peer => To, message => Message, origin => Origin})];
            false -> []
        end,
    Typing = case Sent =:= [] andalso is_composing(El) of
                 true -> typing(Ctx, From, To, #{peer => To, origin => Origin});
                 false -> []
             end,
    Sent ++ Unknown ++ Receipts ++ Typing ++ Called.

%% A call that is proposed, taken or over (XEP-0353): the element that says so of a call that is known, and its acts.
proposal(Ctx, El, From, To, Origin) ->
    case [C || C <- children(El), attr(<<"xmlns">>, C) =:= ?NS_JMI] of
        [{xmlel, Name, _, _} = C | _] ->
            case call(Ctx, proposal_step(Name), attr(<<"id">>, C), From, To, call_media([C]), Origin) of
                unknown -> {none, []};
                Acts -> {C, Acts}
            end;
        [] -> {none, []}
    end.

proposal_step(<<"propose">>) -> started;
proposal_step(<<"proceed">>) -> taken;
proposal_step(Name) when Name =:= <<"retract">>; Name =:= <<"reject">>; Name =:= <<"finish">> -> ended;
proposal_step(_) -> none.

session_step(<<"session-initiate">>) -> started;
session_step(<<"session-accept">>) -> taken;
session_step(<<"session-terminate">>) -> ended;
session_step(_) -> none.

%% A query to a client of somebody else: a session of media that is negotiated (XEP-0166), or what else the
%% client may show.
iq(#{is_room_host := IsRoomHost, occupant := Occupant} = Ctx, El, From, Origin) ->
    Full = prep(attr(<<"to">>, El)),
    HasResource = Full =/= none andalso Full =/= bare(Full),
    To = case Full =/= none andalso IsRoomHost(domain(Full)) of
             true when HasResource -> Occupant(Full);
             true -> none;
             false -> Full
         end,
    Counted = To =/= none andalso has_node(To) andalso bare(To) =/= From
        andalso not (Origin =/= undefined andalso has_asked(Ctx, bare(To), From)),
    case Counted of
        true -> counted_iq(Ctx, El, From, bare(To), Origin, HasResource);
        false -> []
    end.

counted_iq(Ctx, El, From, To, Origin, HasResource) ->
    Jingle = child(<<"jingle">>, El, ?NS_JINGLE),
    Called = case Jingle of
                 none -> unknown;
                 {xmlel, _, _, Contents} ->
                     Media = call_media([C || {xmlel, <<"content">>, _, _} = C <- Contents]),
                     call(Ctx, session_step(attr(<<"action">>, Jingle)), attr(<<"sid">>, Jingle), From, To, Media, Origin)
             end,
    case {Called, Jingle} of
        %% The server answers what is sent to a bare JID.
        {unknown, _} when not HasResource -> [];
        {unknown, none} -> shown(Ctx, From, To, content(El), #{}, Origin, 0);
        {unknown, _} -> shown(Ctx, From, To, (content(El))#{media => <<"other">>}, #{}, Origin, 0);
        {Acts, _} -> Acts
    end.

%% The media of a call; none for what is no call: files are offered so, too.
call_media(Parents) ->
    Media = [attr(<<"media">>, C) || Parent <- Parents, {xmlel, <<"description">>, _, _} = C <- children(Parent), attr(<<"xmlns">>, C) =:= ?NS_RTP],
    case {Media, lists:member(<<"video">>, Media)} of
        {[], _} -> none;
        {_, true} -> <<"video">>;
        {_, false} -> <<"audio">>
    end.

%% A step of a call, or unknown where it is of none. The session that follows a proposal has its id. The end is
%% reported as the caller's, whoever ended it; a call that is over may get last steps from both sides.
call(_, none, _, _, _, _, _) -> unknown;
call(_, _, undefined, _, _, _, _) -> unknown;
call(_, started, _, _, _, none, _) -> unknown;
call(#{get := Get, is_local := IsLocal} = Ctx, started, Id, From, To, Media, Origin) ->
    Key = {account_id(From), account_id(To), Id},
    case Get(calls, Key) of
        {ok, #{}} -> [];
        _ ->
            InContacts = case IsLocal(domain(To)) of true -> is_contact(Ctx, To, From); false -> undefined end,
            Fields = #{peer => To, media => Media, in_contacts => InContacts, origin => Origin},
            Act = act(Ctx, <<"call.started">>, From, Fields, not is_known(Ctx, From, To)),
            [Act#{call => {Key, #{caller => From, callee => To, origin => Origin, taken_ms => none}}}]
    end;
call(#{get := Get, put := Put, now_ms := Now} = Ctx, Step, Id, From, To, _, _) ->
    Key = {account_id(From), account_id(To), Id},
    PeersKey = {account_id(To), account_id(From), Id},
    case {Step, Get(calls, Key), Get(calls, PeersKey)} of
        {_, none, none} -> unknown;
        {ended, {ok, #{} = Call}, _} -> Put(calls, Key, ended), [call_ended(Ctx, Call)];
        {ended, _, {ok, #{} = Call}} -> Put(calls, PeersKey, ended), [call_ended(Ctx, Call)];
        {taken, {ok, #{}}, _} -> [];
        {taken, _, {ok, #{} = Call}} -> Put(calls, PeersKey, Call#{taken_ms => Now()}), [];
        _ -> []
    end.

call_ended(#{now_ms := Now} = Ctx, #{caller := Caller, callee := Callee, origin := Origin, taken_ms := Taken}) ->
    Seconds = case Taken of none -> 0; _ -> max(Now() - Taken, 0) div 1000 end,
    act(Ctx, <<"call.ended">>, Caller, #{peer => Callee, seconds => Seconds, origin => Origin}).

%% What reaches a person, as a message.
sent(#{is_local := IsLocal} = Ctx, From, To, Carried, More, Origin) ->
    InContacts = case IsLocal(domain(To)) of true -> is_contact(Ctx, To, From); false -> undefined end,
    Fields = maps:merge(Carried, More#{peer => To, in_contacts => InContacts, origin => Origin}),
    act(Ctx, <<"message.sent">>, From, Fields, not is_known(Ctx, From, To)).

%% What another server answered to a message of an account here.
bounce(Ctx, El) ->
    Error = child(<<"error">>, El),
    case Error =/= none andalso child(<<"item-not-found">>, Error) of
        {xmlel, _, _, _} ->
            From = bare(prep(attr(<<"from">>, El))), To = bare(prep(attr(<<"to">>, El))),
            [act(Ctx, <<"message.undeliverable">>, To, #{peer => From, reason => <<"not_registered">>})];
        _ -> []
    end.

%% A presence to one address; that of a subscription before the server changes the rosters.
presence(Ctx, El, From, Origin) ->
    To = prep(attr(<<"to">>, El)),
    case {To =/= none andalso has_node(To) andalso bare(To) =/= From, attr(<<"type">>, El)} of
        {false, _} -> [];
        {true, Type} when Type =:= undefined; Type =:= <<"unavailable">> -> directed(Ctx, El, From, To, Origin);
        {true, Type} -> subscription(Ctx, Type, From, bare(To), Origin)
    end.

%% A presence that is sent to one address: to join a room of another server, or with something to read.
directed(#{is_room_host := IsRoomHost} = Ctx, El, From, To, Origin) ->
    case not IsRoomHost(domain(To)) andalso not is_of_room(Ctx, El, From, To, Origin) of
        true -> shown(Ctx, From, bare(To), (content(El))#{size := 0}, #{}, Origin, maps:get(size, content(El)));
        false -> []
    end.

is_of_room(#{get := Get, put := Put, is_local := IsLocal}, El, From, To, undefined) ->
    Key = {account_id(From), account_id(bare(To))},
    Asks = child(<<"x">>, El, ?NS_MUC) =/= none,
    case To =:= bare(To) orelse IsLocal(domain(To)) orelse Get(rooms, Key) of
        true -> false;
        none when Asks ->
            Put(rooms, Key, asked),
            %% Of an account with more rooms than it can have it is an act.
            Get(rooms, Key) =/= none;
        none -> false;
        {ok, _} -> true
    end;
is_of_room(#{get := Get, put := Put}, El, From, To, _) ->
    Key = {account_id(bare(To)), account_id(From)},
    Asked = Get(rooms, Key),
    [Put(rooms, Key, joined) || Asked =:= {ok, asked}, child(<<"x">>, El, ?NS_MUC_USER) =/= none],
    Asked =/= none.

subscription(#{pending_in := PendingIn} = Ctx, <<"subscribe">>, From, To, Origin) ->
    Again = case Origin of
                undefined -> is_pending_out(Ctx, From, To) orelse is_subscribed(Ctx, From, To);
                _ -> PendingIn(To, From) orelse is_contact(Ctx, To, From)
            end,
    case Again of
        true -> [];
        false ->
            [act(Ctx, <<"contact.requested">>, From, #{peer => To, origin => Origin}, not is_known(Ctx, From, To))]
    end;
subscription(#{pending_in := PendingIn} = Ctx, Type, From, To, Origin)
  when Type =:= <<"subscribed">>; Type =:= <<"unsubscribed">> ->
    Asked = case Origin of
                undefined -> PendingIn(From, To);
                _ -> is_pending_out(Ctx, To, From)
            end,
    case {Asked, Type} of
        {false, _} -> [];
        {true, <<"subscribed">>} ->
            remember(Ctx, account_id(From), account_id(To)),
            [act(Ctx, <<"contact.accepted">>, From, #{peer => To, origin => Origin})];
        {true, <<"unsubscribed">>} ->
            [act(Ctx, <<"contact.refused">>, From, #{peer => To, origin => Origin})]
    end;
subscription(_, _, _, _, _) -> [].

%% A change of an account's own roster.
roster(#{item := Item} = Ctx, El, From) ->
    case [C || Query <- children(El), {xmlel, <<"item">>, _, _} = C <- children(Query)] of
        [C] ->
            Peer = prep(attr(<<"jid">>, C)),
            case Peer =/= none andalso has_node(Peer) andalso Peer =:= bare(Peer) andalso Peer =/= From of
                true ->
                    case {attr(<<"subscription">>, C), Item(From, Peer)} of
                        {<<"remove">>, none} -> [];
                        {<<"remove">>, _} -> [act(Ctx, <<"contact.removed">>, From, #{peer => Peer})];
                        {_, none} -> [act(Ctx, <<"contact.added">>, From, #{peer => Peer})];
                        _ -> []
                    end;
                false -> []
            end;
        _ -> []
    end.

report(Item) ->
    case child(<<"report">>, Item, <<"urn:xmpp:reporting:1">>) of
        {xmlel, _, _, _} = Report ->
            case attr(<<"reason">>, Report) of
                <<"urn:xmpp:reporting:spam">> -> {Report, <<"spam">>};
                _ -> {Report, <<"other">>}
            end;
        none ->
            case child(<<"report">>, Item, <<"urn:xmpp:reporting:0">>) of
                none -> none;
                Report -> {Report, case child(<<"spam">>, Report) of none -> <<"other">>; _ -> <<"spam">> end}
            end
    end.

%% A block or unblock, and the report (XEP-0377) that may come with it; the report's text stays here.
blocking(#{blocklist := Blocklist} = Ctx, El, From) ->
    [{xmlel, Command, _, _} = Body | _] = children(El),
    Items = [C || {xmlel, <<"item">>, _, _} = C <- children(Body)],
    Type = case Command of <<"block">> -> <<"user.blocked">>; _ -> <<"user.unblocked">> end,
    Listed = case {Type, Items} of
                 {<<"user.unblocked">>, []} -> [{JID, none} || JID <- Blocklist(From)];
                 _ -> [{prep(attr(<<"jid">>, C)), C} || C <- Items]
             end,
    %% A JID without a node is a domain.
    lists:append([reported(Ctx, From, bare(JID), Type, Item) ++ [act(Ctx, Type, From, #{peer => bare(JID)})]
                  || {JID, Item} <- Listed, JID =/= none, has_node(JID)]).

reported(#{get := Get} = Ctx, From, Peer, <<"user.blocked">>, Item) when Item =/= none ->
    case report(Item) of
        none -> [];
        {Report, Reason} ->
            Sid = child(<<"stanza-id">>, Report, <<"urn:xmpp:sid:0">>),
            Known = case Sid of none -> none; _ -> Get(archived, {account_id(From), attr(<<"id">>, Sid)}) end,
            Message = case Known of {ok, Id} -> Id; _ -> undefined end,
            Act = act(Ctx, <<"user.reported">>, From, #{peer => Peer, reason => Reason, message => Message}),
            Default = case Reason of <<"spam">> -> <<"urn:xmpp:reporting:spam">>; _ -> <<"urn:xmpp:reporting:abuse">> end,
            %% What the reporter lets be done with it beside; nobody else is told without that.
            [Act#{report => #{about => Peer, reason => case attr(<<"reason">>, Report) of undefined -> Default; Uri -> Uri end,
                              origin => child(<<"report-origin">>, Report) =/= none, third_party => child(<<"third-party">>, Report) =/= none}}]
    end;
reported(_, _, _, _, _) -> [].

%% An archive gave a message an id of its own, which reports name.
archive(#{get := Get, put := Put}, El, Owner, ArchiveId) ->
    From = prep(attr(<<"from">>, El)), To = prep(attr(<<"to">>, El)), Id = attr(<<"id">>, El),
    case From =/= none andalso To =/= none andalso Get(receipts, {account_id(bare(From)), account_id(bare(To)), Id}) of
        {ok, EventId} -> Put(archived, {account_id(Owner), ArchiveId}, EventId);
        _ -> ok
    end.

%% Who is no contact and writes to somebody who takes nothing else has asked to become one, in vain.
asked_in_vain(Ctx, From, To, Origin) -> act(Ctx, <<"contact.requested">>, From, #{peer => To, origin => Origin, attempted => true}).

registered(Ctx, JID, IP) -> act(Ctx, <<"account.registered">>, JID, #{ip => IP}, true).

session(Ctx, JID, IP) -> act(Ctx, <<"session.started">>, JID, #{ip => IP}).

deleted(Ctx, JID) -> act(Ctx, <<"account.deleted">>, JID, #{}).

%% Rooms of this server. `From`: the occupant's own JID, never a nickname.

room_created(Ctx, From, Room, Origin) -> act(Ctx, <<"group.created">>, From, #{group => Room, origin => Origin}, true).

%% Who is invited and comes has accepted.
room_joined(#{get := Get, put := Put} = Ctx, From, Room, Origin) ->
    Joined = act(Ctx, <<"group.joined">>, From, #{group => Room, origin => Origin}),
    Key = {account_id(Room), account_id(From)},
    Accepted =
        case Get(invitations, Key) of
            {ok, By} when By =/= taken ->
                Put(invitations, Key, taken),
                remember(Ctx, account_id(From), By),
                [act(Ctx, <<"contact.accepted">>, From, #{peer => By, origin => Origin})];
            _ -> []
        end,
    [Joined | Accepted].

room_left(Ctx, From, Room, Origin) -> act(Ctx, <<"group.left">>, From, #{group => Room, origin => Origin}).

room_invitations(Ctx, El, From, Room, Origin) ->
    invited(Ctx, [One || {_, #{group := Group}} = One <- invitations(El, From, Room, true, Origin), Group =:= Room], El).

%% `Newcomer`: for how long its sender has been there, and the others by nickname; none for who is not new, or has a say.
room_message(Ctx, El, From, Room, Recipients, Origin, Newcomer) ->
    Mention = mass_mention(El, Room, Newcomer),
    [case Act of
         #{event := #{type := <<"message.sent">>}} -> Act#{opens := map_size(Mention) > 0};
         _ -> Act
     end || Act <- group_message(Ctx, El, From, Room, Mention#{recipients => Recipients, origin => Origin})].

%% How many occupants of a room a message mentions, and for how long its sender has been there; nothing where it is no
%% mass mention of somebody who is new there.
mass_mention(El, Room, Newcomer) ->
    Text = plain_text(El),
    Referred = referred(El),
    MayBe = map_size(Referred) > 0 orelse byte_size(Text) >= ?MASS_MENTION * (?LEAST_NICK + 1) - 1,
    case MayBe andalso Newcomer() of
        {JoinedS, Others} ->
            case length([Nick || {Nick, JID} <- Others, is_mentioned(Text, Referred, Room, Nick, JID)]) of
                Mentions when Mentions >= ?MASS_MENTION -> #{mentions => Mentions, joined_s => JoinedS};
                _ -> #{}
            end;
        _ -> #{}
    end.

is_mentioned(Text, Referred, Room, Nick, JID) ->
    is_map_key(<<Room/binary, "/", Nick/binary>>, Referred) orelse is_map_key(JID, Referred)
        orelse (byte_size(Nick) >= ?LEAST_NICK andalso has_word(Text, small(Nick))).

%% What a message to a room says in plain text, in small letters of ASCII.
plain_text(El) ->
    Text = iolist_to_binary([[all_text(Child), $\n] || {xmlel, Name, _, _} = Child <- children(El),
                                                     {Name, namespace(El, Child)} =:= {<<"body">>, ?NS_CLIENT}
                                                         orelse {Name, namespace(El, Child)} =:= {<<"html">>, <<"http://jabber.org/protocol/xhtml-im">>}]),
    small(binary:part(Text, 0, min(byte_size(Text), ?MOST_SEARCHED))).

%% Whom it refers to (XEP-0372).
referred(El) ->
    maps:from_keys([JID || {xmlel, <<"reference">>, _, _} = Child <- children(El), namespace(El, Child) =:= <<"urn:xmpp:reference:0">>,
            attr(<<"type">>, Child) =:= <<"mention">>, <<"xmpp:", Uri/binary>> <- [attr(<<"uri">>, Child)], byte_size(Uri) =< ?MOST_ADDRESS,
            JID <- [prep(unescaped(hd(binary:split(Uri, <<"?">>))))], JID =/= none], true).

unescaped(<<"%", High, Low, Rest/binary>>) ->
    try <<(list_to_integer([High, Low], 16)), (unescaped(Rest))/binary>>
    catch _:_ -> <<"%", High, Low, (unescaped(Rest))/binary>> end;
unescaped(<<C, Rest/binary>>) -> <<C, (unescaped(Rest))/binary>>;
unescaped(<<>>) -> <<>>.

small(Text) -> << <<(if C >= $A, C =< $Z -> C + 32; true -> C end)>> || <<C>> <= Text >>.

%% Whether a text has a name as a word of its own; a byte of another script is part of a word.
has_word(Text, Name) ->
    lists:any(fun({At, Size}) -> not is_letter(Text, At - 1) andalso not is_letter(Text, At + Size) end, binary:matches(Text, Name)).

is_letter(Text, At) when At < 0; At >= byte_size(Text) -> false;
is_letter(Text, At) ->
    C = binary:at(Text, At),
    C >= 16#80 orelse C =:= $_ orelse (C >= $0 andalso C =< $9) orelse (C >= $a andalso C =< $z).

%% A private message to an occupant of a room: of one here by its own JID, else by a pseudonym of its nickname.
room_private(Ctx, El, From, To, Origin) ->
    case From =/= To andalso attr(<<"type">>, El) =/= <<"error">> of
        true -> shown(Ctx, From, To, content(El), #{via => <<"group">>}, Origin, 0);
        false -> []
    end.
