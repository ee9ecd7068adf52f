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

-export([message/4, jingle/4, bounce/2, presence/4, roster/3, blocking/3, archive/4]).
-export([registered/3, session/3, deleted/2]).
-export([room_created/4, room_joined/4, room_left/4, room_invitations/5, room_message/6, room_private/5]).
-export([done/2, account_id/1, bare/1, carries/1]).

-define(TYPING_MS, 10000).
-define(MAX_ID_BYTES, 255).
-define(NS_CHATSTATES, <<"http://jabber.org/protocol/chatstates">>).
-define(NS_JMI, <<"urn:xmpp:jingle-message:0">>).
-define(NS_JINGLE, <<"urn:xmpp:jingle:1">>).
-define(NS_RTP, <<"urn:xmpp:jingle:apps:rtp:1">>).
-define(NS_MUC_USER, <<"http://jabber.org/protocol/muc#user">>).

%% What is sent of each type, beside id, time, type and account. Wavebreak is told of exactly these, and no
%% other field leaves this server: a field that is sent and not declared is not judged.
-define(FIELDS,
        #{<<"account.registered">> => [ip, attempted],
          <<"account.deleted">> => [],
          <<"session.started">> => [ip],
          <<"typing.started">> => [peer, group, origin],
          <<"message.sent">> => [peer, group, recipients, in_contacts, size, media, via, origin, attempted],
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

%% A context holds functions: new_id/0, now_ms/0, item/2 (owner, JID: none or {Subscription, Ask}),
%% pending_in/2, user_exists/1, is_local/1 and is_room_host/1 (of a domain), blocklist/1,
%% get/2 and put/3 (a bounded cache: receipts, archived, typing, pairs, calls).
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

payload(El) ->
    Omemo = [C || NS <- [<<"eu.siacs.conversations.axolotl">>, <<"urn:xmpp:omemo:2">>, <<"urn:xmpp:omemo:1">>],
                  (C = child(<<"encrypted">>, El, NS)) =/= none],
    OpenPgp = [C || {Name, NS} <- [{<<"openpgp">>, <<"urn:xmpp:openpgp:0">>}, {<<"x">>, <<"jabber:x:encrypted">>}],
                    (C = child(Name, El, NS)) =/= none],
    case {Omemo, OpenPgp} of
        {[Encrypted | _], _} ->
            case child(<<"payload">>, Encrypted) of
                %% It only carries keys.
                none -> none;
                Payload -> #{size => base64_bytes(text(Payload))}
            end;
        {[], [Encrypted | _]} -> #{size => base64_bytes(text(Encrypted))};
        {[], []} -> plain_payload(El)
    end.

plain_payload(El) ->
    case text(child(<<"body">>, El)) of
        <<>> -> none;
        Body ->
            Shared = child(<<"x">>, El, <<"jabber:x:oob">>) =/= none
                orelse child(<<"file-sharing">>, El, <<"urn:xmpp:sfs:0">>) =/= none,
            #{size => byte_size(Body), media => case Shared of true -> <<"other">>; false -> <<"none">> end}
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

%% A direct invitation to a room (XEP-0249), or mediated ones that a room passes on.
invitations(El, From, To) ->
    Direct = child(<<"x">>, El, <<"jabber:x:conference">>),
    case Direct =/= none andalso prep(attr(<<"jid">>, Direct)) of
        Room when is_binary(Room) -> [{bare(Room), To}];
        _ ->
            X = child(<<"x">>, El, ?NS_MUC_USER),
            Invites = case X of none -> []; _ -> [C || {xmlel, <<"invite">>, _, _} = C <- children(X)] end,
            Invited = [prep(attr(<<"to">>, C)) || C <- Invites],
            [{To, bare(Invitee)} || Invitee <- Invited, Invitee =/= none, bare(Invitee) =/= From]
    end.

%% A message between two accounts, or to a room on another server. `Origin`: the sender's domain,
%% where it is another server's, else undefined.
message(#{is_room_host := IsRoomHost} = Ctx, El, From, Origin) ->
    To = prep(attr(<<"to">>, El)),
    Type = attr(<<"type">>, El),
    FromRoom = child(<<"x">>, El, ?NS_MUC_USER) =/= none,
    %% What a room of another server passes on has a nickname as its sender, no account.
    Passed = Origin =/= undefined andalso (Type =:= <<"groupchat">> orelse FromRoom),
    Counted = To =/= none andalso has_node(To) andalso bare(To) =/= From andalso Type =/= <<"error">>
        andalso not Passed andalso not IsRoomHost(domain(To)),
    case Counted of
        true -> counted_message(Ctx, El, From, bare(To), Origin, Type, FromRoom);
        false -> []
    end.

counted_message(Ctx, El, From, To, Origin, Type, FromRoom) ->
    Invitations = case Type of <<"groupchat">> -> []; _ -> invitations(El, From, To) end,
    Carried = payload(El),
    case Invitations of
        [_ | _] ->
            [act(Ctx, <<"group.member_added">>, From, #{group => Room, peer => Peer, origin => Origin}, true)
             || {Room, Peer} <- Invitations];
        [] when Type =:= <<"groupchat">>; FromRoom ->
            case {Carried, is_composing(El)} of
                {none, true} -> typing(Ctx, From, To, #{group => To, origin => Origin});
                {none, false} -> [];
                _ -> [act(Ctx, <<"message.sent">>, From, Carried#{group => To, origin => Origin})]
            end;
        [] -> direct_message(Ctx, El, From, To, Origin, Carried)
    end.

direct_message(#{get := Get} = Ctx, El, From, To, Origin, Carried) ->
    Sent = case Carried of none -> []; _ -> sent(Ctx, El, From, To, Origin, Carried) end,
    {Receipt, About} = receipt(El),
    Receipts =
        case Receipt =/= none andalso About =/= undefined of
            true ->
                Message = case Get(receipts, {account_id(To), account_id(From), About}) of {ok, Id} -> Id; _ -> undefined end,
                [act(Ctx, Receipt, From, #{peer => To, message => Message, origin => Origin})];
            false -> []
        end,
    Typing = case Carried =:= none andalso is_composing(El) of
                 true -> typing(Ctx, From, To, #{peer => To, origin => Origin});
                 false -> []
             end,
    Sent ++ Receipts ++ Typing ++ proposal(Ctx, El, From, To, Origin).

%% A call that is proposed, taken or over (XEP-0353).
proposal(Ctx, El, From, To, Origin) ->
    case [{Step, C} || {xmlel, Name, _, _} = C <- children(El), attr(<<"xmlns">>, C) =:= ?NS_JMI, Step <- proposal_step(Name)] of
        [{Step, C} | _] -> call(Ctx, Step, attr(<<"id">>, C), From, To, call_media([C]), Origin);
        [] -> []
    end.

proposal_step(<<"propose">>) -> [started];
proposal_step(<<"proceed">>) -> [taken];
proposal_step(Name) when Name =:= <<"retract">>; Name =:= <<"reject">>; Name =:= <<"finish">> -> [ended];
proposal_step(_) -> [].

%% A session of media that an account negotiates with another one (XEP-0166).
jingle(#{is_room_host := IsRoomHost} = Ctx, El, From, Origin) ->
    To = prep(attr(<<"to">>, El)),
    Counted = To =/= none andalso has_node(To) andalso bare(To) =/= From andalso not IsRoomHost(domain(To)),
    case {Counted, child(<<"jingle">>, El, ?NS_JINGLE)} of
        {true, {xmlel, _, _, Contents} = Jingle} ->
            Media = call_media([C || {xmlel, <<"content">>, _, _} = C <- Contents]),
            case attr(<<"action">>, Jingle) of
                <<"session-initiate">> -> call(Ctx, started, attr(<<"sid">>, Jingle), From, bare(To), Media, Origin);
                <<"session-accept">> -> call(Ctx, taken, attr(<<"sid">>, Jingle), From, bare(To), Media, Origin);
                <<"session-terminate">> -> call(Ctx, ended, attr(<<"sid">>, Jingle), From, bare(To), Media, Origin);
                _ -> []
            end;
        _ -> []
    end.

%% The media of a call; none for what is no call: files are offered so, too.
call_media(Parents) ->
    Media = [attr(<<"media">>, C) || Parent <- Parents, {xmlel, <<"description">>, _, _} = C <- children(Parent), attr(<<"xmlns">>, C) =:= ?NS_RTP],
    case {Media, lists:member(<<"video">>, Media)} of
        {[], _} -> none;
        {_, true} -> <<"video">>;
        {_, false} -> <<"audio">>
    end.

%% A step of a call. The session that follows a proposal has its id. The end is reported as the caller's,
%% whoever ended it.
call(_, _, undefined, _, _, _, _) -> [];
call(_, started, _, _, _, none, _) -> [];
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
        {taken, _, {ok, #{} = Call}} -> Put(calls, PeersKey, Call#{taken_ms => Now()}), [];
        {ended, {ok, #{} = Call}, _} -> Put(calls, Key, ended), [call_ended(Ctx, Call)];
        {ended, _, {ok, #{} = Call}} -> Put(calls, PeersKey, ended), [call_ended(Ctx, Call)];
        _ -> []
    end.

call_ended(#{now_ms := Now} = Ctx, #{caller := Caller, callee := Callee, origin := Origin, taken_ms := Taken}) ->
    Seconds = case Taken of none -> 0; _ -> max(Now() - Taken, 0) div 1000 end,
    act(Ctx, <<"call.ended">>, Caller, #{peer => Callee, seconds => Seconds, origin => Origin}).

sent(#{is_local := IsLocal, user_exists := Exists} = Ctx, El, From, To, Origin, Carried) ->
    Opens = not is_known(Ctx, From, To),
    Here = IsLocal(domain(To)),
    InContacts = case Here of true -> is_contact(Ctx, To, From); false -> undefined end,
    Act = act(Ctx, <<"message.sent">>, From, Carried#{peer => To, in_contacts => InContacts, origin => Origin}, Opens),
    Unknown = case Here andalso Opens andalso not Exists(To) of
                  true -> [act(Ctx, <<"message.undeliverable">>, From, #{peer => To, reason => <<"not_registered">>, origin => Origin})];
                  false -> []
              end,
    [Act#{stanza_id => attr(<<"id">>, El)} | Unknown].

%% What another server answered to a message of an account here.
bounce(Ctx, El) ->
    Error = child(<<"error">>, El),
    case Error =/= none andalso child(<<"item-not-found">>, Error) of
        {xmlel, _, _, _} ->
            From = bare(prep(attr(<<"from">>, El))), To = bare(prep(attr(<<"to">>, El))),
            [act(Ctx, <<"message.undeliverable">>, To, #{peer => From, reason => <<"not_registered">>})];
        _ -> []
    end.

%% A subscription stanza, before the server changes the rosters.
presence(Ctx, El, From, Origin) ->
    To = prep(attr(<<"to">>, El)),
    case To =/= none andalso has_node(To) andalso bare(To) =/= From of
        true -> subscription(Ctx, attr(<<"type">>, El), From, bare(To), Origin);
        false -> []
    end.

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
            [act(Ctx, <<"user.reported">>, From, #{peer => Peer, reason => Reason, message => Message})]
    end;
reported(_, _, _, _, _) -> [].

%% An archive gave a message an id of its own, which reports name.
archive(#{get := Get, put := Put}, El, Owner, ArchiveId) ->
    From = prep(attr(<<"from">>, El)), To = prep(attr(<<"to">>, El)), Id = attr(<<"id">>, El),
    case From =/= none andalso To =/= none andalso Get(receipts, {account_id(bare(From)), account_id(bare(To)), Id}) of
        {ok, EventId} -> Put(archived, {account_id(Owner), ArchiveId}, EventId);
        _ -> ok
    end.

registered(Ctx, JID, IP) -> act(Ctx, <<"account.registered">>, JID, #{ip => IP}, true).

session(Ctx, JID, IP) -> act(Ctx, <<"session.started">>, JID, #{ip => IP}).

deleted(Ctx, JID) -> act(Ctx, <<"account.deleted">>, JID, #{}).

%% Rooms of this server. `From`: the occupant's own JID, never a nickname.

room_created(Ctx, From, Room, Origin) -> act(Ctx, <<"group.created">>, From, #{group => Room, origin => Origin}, true).

room_joined(Ctx, From, Room, Origin) -> act(Ctx, <<"group.joined">>, From, #{group => Room, origin => Origin}).

room_left(Ctx, From, Room, Origin) -> act(Ctx, <<"group.left">>, From, #{group => Room, origin => Origin}).

room_invitations(Ctx, El, From, Room, Origin) ->
    [act(Ctx, <<"group.member_added">>, From, #{group => Room, peer => Peer, origin => Origin}, true)
     || {_, Peer} <- invitations(El, From, Room)].

room_message(Ctx, El, From, Room, Recipients, Origin) ->
    case {payload(El), is_composing(El)} of
        {none, true} -> typing(Ctx, From, Room, #{group => Room, origin => Origin});
        {none, false} -> [];
        {Carried, _} ->
            [act(Ctx, <<"message.sent">>, From, Carried#{group => Room, recipients => Recipients, origin => Origin})]
    end.

%% A private message to an occupant of a room here, by the occupant's own JID.
room_private(Ctx, El, From, To, Origin) ->
    Carried = payload(El),
    case Carried =/= none andalso From =/= To andalso attr(<<"type">>, El) =/= <<"error">> of
        true ->
            [act(Ctx, <<"message.sent">>, From,
                 Carried#{peer => To, via => <<"group">>, in_contacts => is_contact(Ctx, To, From), origin => Origin},
                 not is_known(Ctx, From, To))];
        false -> []
    end.
