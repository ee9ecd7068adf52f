%%% Sends what a server sees of its accounts to Wavebreak, without any content, and refuses what
%%% Wavebreak's decisions refuse.
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

-module(mod_wavebreak).
-behaviour(gen_mod).

-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0]).
-export([user_send_packet/1, s2s_receive_packet/1, user_receive_packet/1, c2s_unauthenticated_packet/2, register_user/2, remove_user/2,
         session_opened/3, adhoc_items/4, adhoc_command/4, muc_filter_message/3, muc_invite/7, join_room/4, room_destroyed/4]).
-export([local_send/1, s2s_out_closed/2, s2s_in_terminated/2]).
-export([status/1, account_state/2, resume_list/2, release/1, get_commands_spec/0]).

-include("logger.hrl").
-include("xmpp.hrl").
-include("mod_roster.hrl").
-include("mod_muc_room.hrl").
-include("ejabberd_commands.hrl").

-ifndef(NS_JINGLE).
-define(NS_JINGLE, <<"urn:xmpp:jingle:1">>).
-endif.

-define(NEW_IN_ROOM_S, 86400).
-define(MOST_MODERATORS, 5).
-record(wavebreak_kept, {key :: term(), value :: term()}).

-define(CLIENT, mod_wavebreak_client).
-define(MAPPING, mod_wavebreak_mapping).
-define(LISTS, mod_wavebreak_lists).

%% Acts that an answer can refuse.
-define(ASKED, [<<"account.registered">>, <<"message.sent">>, <<"contact.requested">>, <<"group.created">>, <<"group.member_added">>,
                <<"call.started">>]).

%% Rooms of other servers that are kept of an account.
-define(ROOMS, 500).
-define(CACHES, [{places, 10000}, {receipts, 20000}, {archived, 20000}, {typing, 5000}, {pairs, 200000}, {calls, 20000}, {invitations, 20000}, {creating, 5000}, {told_of, 1000}]).

start(Host, _Opts) ->
    ejabberd_mnesia:create(?MODULE, wavebreak_kept, [{disc_copies, [node()]}, {attributes, record_info(fields, wavebreak_kept)}]),
    [ets_cache:new(cache(Table), [{max_size, Size}, {life_time, infinity}, {cache_missed, false}]) || {Table, Size} <- ?CACHES],
    persistent_term:put({?MODULE, boot}, {str:to_hexlist(crypto:strong_rand_bytes(9)), atomics:new(1, [])}),
    ejabberd_commands:register_commands(?MODULE, get_commands_spec()),
    case gen_mod:start_child(?CLIENT, Host, options(Host)) of
        {ok, _} ->
            {ok, _} = gen_mod:start_child(?LISTS, Host, list_options(Host)),
            {ok, [{hook, local_send_to_resource_hook, local_send, 40},
                  {hook, s2s_out_closed, s2s_out_closed, 50},
                  {hook, s2s_in_terminated, s2s_in_terminated, 50},
                  {hook, user_send_packet, user_send_packet, 30},
                  {hook, s2s_receive_packet, s2s_receive_packet, 30},
                  {hook, user_receive_packet, user_receive_packet, 95},
                  {hook, c2s_unauthenticated_packet, c2s_unauthenticated_packet, 30},
                  {hook, register_user, register_user, 50},
                  {hook, remove_user, remove_user, 50},
                  {hook, sm_register_connection_hook, session_opened, 50},
                  {hook, adhoc_local_items, adhoc_items, 50},
                  {hook, adhoc_local_commands, adhoc_command, 50},
                  {hook, muc_filter_message, muc_filter_message, 90},
                  {hook, muc_invite, muc_invite, 90},
                  {hook, join_room, join_room, 50},
                  {hook, room_destroyed, room_destroyed, 50}]};
        Error -> Error
    end.

stop(Host) ->
    case gen_mod:is_loaded_elsewhere(Host, ?MODULE) of
        false -> ejabberd_commands:unregister_commands(get_commands_spec());
        true -> ok
    end,
    gen_mod:stop_child(?LISTS, Host),
    gen_mod:stop_child(?CLIENT, Host),
    %% Who releases all removes the module next: nothing of it is left.
    case persistent_term:erase({?MODULE, released, Host}) of
        true ->
            _ = file:del_dir_r(directory(Host)),
            _ = file:del_dir(filename:dirname(directory(Host))),
            [mnesia:delete_table(wavebreak_kept) || not gen_mod:is_loaded_elsewhere(Host, ?MODULE)],
            ok;
        false -> ok
    end.

directory(Host) -> filename:join([mnesia:system_info(directory), "wavebreak", binary_to_list(Host)]).

reload(Host, NewOpts, OldOpts) ->
    ?CLIENT:reload(Host, options(Host)),
    case [gen_mod:get_opt(Name, Opts) || Opts <- [NewOpts, OldOpts], Name <- [lists, list_key, publish_list]] of
        [A, B, C, A, B, C] -> ok;
        %% Other lists are read from the start.
        _ ->
            gen_mod:stop_child(?LISTS, Host),
            {ok, _} = gen_mod:start_child(?LISTS, Host, list_options(Host)),
            ok
    end.

depends(_Host, _Opts) -> [{mod_roster, soft}, {mod_muc, soft}, {mod_private, soft}].

options(Host) ->
    Key = opt(Host, key),
    [?ERROR_MSG("mod_wavebreak of ~ts has no `key`: make one with `wavebreak key create`, with the scopes ingest, decide and read", [Host]) || Key =:= <<>>],
    #{url => string:trim(opt(Host, url), trailing, "/"), key => Key, timeout => opt(Host, timeout), max_spooled => opt(Host, max_spooled),
      directory => directory(Host),
      source => #{carries => ?MAPPING:carries(maps:from_list([{Name, opt(Host, Name)} || Name <- [contacts, receipts, remote]])), can => [<<"refuse">>, <<"notify">>, <<"suspend">>, <<"lift">>]},
      on_state => fun(State) -> on_state(Host, State) end,
      on_states_loaded => fun() -> on_states_loaded(Host) end}.

list_options(Host) ->
    #{lists => opt(Host, lists), key => opt(Host, list_key), publish => opt(Host, publish_list), timeout => opt(Host, timeout),
      own => fun() -> ejabberd_option:hosts() ++ ejabberd_router:get_all_routes() ++ admins(Host) end,
      get => fun(Key) -> case mnesia:dirty_read(wavebreak_kept, {list, Host, Key}) of [#wavebreak_kept{value = Value}] -> Value; [] -> none end end,
      put => fun(Key, Value) -> mnesia:dirty_write(#wavebreak_kept{key = {list, Host, Key}, value = Value}) end,
      delete => fun(Key) -> forget({list, Host, Key}) end,
      keys => fun() -> mnesia:dirty_select(wavebreak_kept, [{#wavebreak_kept{key = {list, Host, '$1'}, _ = '_'}, [], ['$1']}]) end}.

%% Who may configure this server, by name.
admins(Host) ->
    Rules = case ejabberd_option:acl() of #{} = Map -> maps:to_list(Map); List -> List end,
    [<<U/binary, $@, S/binary>> || {admin, Acls} <- Rules, {user, Users} <- Acls, {U, S} <- Users, S =:= Host].

opt(Host, mode) ->
    case persistent_term:get({?MODULE, released, Host}, false) of
        true -> shadow;
        false -> gen_mod:get_module_opt(Host, ?MODULE, mode)
    end;
opt(Host, Name) -> gen_mod:get_module_opt(Host, ?MODULE, Name).

mod_opt_type(url) -> econf:url([http, https]);
mod_opt_type(key) -> econf:binary();
mod_opt_type(mode) -> econf:enum([shadow, enforce]);
mod_opt_type(requests) -> econf:enum([hold, deliver]);
mod_opt_type(lists) -> econf:map(econf:binary("^[a-z0-9._-]{1,64}$"), econf:binary("^[^/]+/.+$"), [{return, list}]);
mod_opt_type(list_key) -> econf:binary();
mod_opt_type(publish_list) -> econf:binary("^[^/]+/.+$");
mod_opt_type(forward_reports) -> econf:list(econf:binary());
mod_opt_type(take_back) -> econf:list(econf:enum([requests, undelivered]));
mod_opt_type(ask) -> econf:enum([new_chats, always, never]);
mod_opt_type(timeout) -> econf:pos_int();
mod_opt_type(on_failure) -> econf:options(#{registration => econf:enum([open, closed]), messaging => econf:enum([open, closed])});
mod_opt_type(exempt) -> econf:list(econf:binary());
mod_opt_type(notice) -> econf:options(#{en => econf:binary(), he => econf:binary()});
mod_opt_type(max_spooled) -> econf:pos_int();
mod_opt_type(Flag) when Flag =:= contacts; Flag =:= receipts; Flag =:= remote; Flag =:= silence; Flag =:= only_contacts -> econf:bool().

mod_options(_Host) ->
    [{url, <<"http://127.0.0.1:8480">>}, {key, <<>>}, {mode, shadow}, {ask, new_chats}, {requests, hold}, {take_back, [requests, undelivered]}, {timeout, 250}, {on_failure, []},
     {exempt, []}, {notice, []}, {contacts, true}, {receipts, true}, {remote, true}, {silence, false}, {only_contacts, false}, {forward_reports, []}, {lists, []}, {list_key, <<>>}, {publish_list, <<>>}, {max_spooled, 1000000}].

mod_doc() -> #{desc => "Sends metadata of accounts to Wavebreak, and refuses what its decisions refuse."}.

%% Context of the mapping: what this server knows of rosters and accounts.

cache(places) -> wavebreak_places;
cache(receipts) -> wavebreak_receipts;
cache(archived) -> wavebreak_archived;
cache(typing) -> wavebreak_typing;
cache(pairs) -> wavebreak_pairs;
cache(calls) -> wavebreak_calls;
cache(invitations) -> wavebreak_invitations;
cache(creating) -> wavebreak_creating;
cache(told_of) -> wavebreak_told_of.

%% Rooms of other servers stay joined where another node of a cluster, or a later start, hears of them.
get(rooms, {Account, Room}) ->
    case mnesia:dirty_read(wavebreak_kept, {elsewhere, Account}) of
        [#wavebreak_kept{value = #{Room := Value}}] -> {ok, Value};
        _ -> none
    end;
get(Table, Key) -> case ets_cache:lookup(cache(Table), Key) of {ok, Value} -> {ok, Value}; _ -> none end.

put(rooms, {Account, Room}, Value) ->
    Key = {elsewhere, Account},
    {atomic, ok} = mnesia:transaction(
                     fun() ->
                             Rooms = case mnesia:read(wavebreak_kept, Key, write) of
                                         [#wavebreak_kept{value = Known}] -> Known;
                                         [] -> #{}
                                     end,
                             mnesia:write(#wavebreak_kept{key = Key, value = with_room(Room, Value, Rooms)})
                     end),
    ok;
put(Table, Key, Value) ->
    ets_cache:delete(cache(Table), Key),
    ets_cache:insert(cache(Table), Key, Value).

%% Of more rooms than an account can have, those that never answered go; then no more are added.
with_room(Room, Value, Rooms) when is_map_key(Room, Rooms); map_size(Rooms) < ?ROOMS -> Rooms#{Room => Value};
with_room(Room, Value, Rooms) ->
    Joined = maps:filter(fun(_, State) -> State =:= joined end, Rooms),
    case map_size(Joined) < ?ROOMS of
        true -> Joined#{Room => Value};
        false -> Joined
    end.

context(Host) ->
    #{new_id => fun new_id/0, now_ms => fun() -> ?CLIENT:now_ms(Host) end, item => fun item/2, pending_in => fun pending_in/2,
      user_exists => fun(JID) -> {U, S} = split(JID), ejabberd_auth:user_exists(U, S) end,
      is_local => fun ejabberd_router:is_my_host/1, is_room_host => fun is_room_host/1,
      occupant => fun(JID) -> To = jid:decode(JID), occupant(To, To#jid.lresource) end,
      %% By a key of this server: nobody else can try nicknames.
      pseudonym => fun(JID) -> <<"occupant:", (str:to_hexlist(crypto:mac(hmac, sha256, opt(Host, key), JID)))/binary>> end,
      blocklist => fun blocklist/1,
      get => fun get/2, put => fun put/3}.

%% Ids are this server's own: a client that repeats a stanza's id must not count once.
new_id() ->
    {Boot, Counter} = persistent_term:get({?MODULE, boot}),
    <<Boot/binary, $-, (integer_to_binary(atomics:add_get(Counter, 1, 1), 16))/binary>>.

split(JID) ->
    #jid{luser = U, lserver = S} = jid:decode(JID),
    {U, S}.

bare(JID) -> jid:encode(jid:remove_resource(jid:tolower(JID))).

is_room_host(Domain) -> ejabberd_router:is_my_route(Domain) andalso not ejabberd_router:is_my_host(Domain).

roster_item(Owner, JID) ->
    {U, S} = split(Owner),
    case ejabberd_router:is_my_host(S) andalso gen_mod:is_loaded(S, mod_roster) of
        true ->
            Peer = jid:tolower(jid:decode(JID)),
            case lists:keyfind(Peer, #roster.jid, mod_roster:get_roster(U, S)) of
                #roster{subscription = Subscription, ask = Ask} -> {Subscription, Ask};
                false -> none
            end;
        false -> none
    end.

%% Here a request that came in is an item too, which its owner has not made.
item(Owner, JID) ->
    case roster_item(Owner, JID) of
        {none, in} -> none;
        Item -> Item
    end.

pending_in(Owner, JID) ->
    case roster_item(Owner, JID) of
        {_, Ask} -> Ask =:= in orelse Ask =:= both;
        none -> false
    end.

blocklist(Owner) ->
    {U, S} = split(Owner),
    try mod_privacy:get_user_list(U, S, default) of
        {ok, {_, Items}} -> [jid:encode(LJID) || {listitem, jid, LJID, deny, _, _, _, _, _, _} <- Items];
        _ -> []
    catch _:_ -> []
    end.

is_exempt(Host, Account) ->
    case opt(Host, exempt) of
        [] -> false;
        Exempt -> lists:member(Account, Exempt) orelse lists:member(lists:last(binary:split(Account, <<"@">>)), Exempt)
    end.

%% A ban disables the account; only what this module disabled is enabled again.

kept(Key) -> mnesia:dirty_read(wavebreak_kept, Key) =/= [].
keep(Key) -> mnesia:dirty_write(#wavebreak_kept{key = Key, value = erlang:system_time(second)}).
forget(Key) -> mnesia:dirty_delete(wavebreak_kept, Key).

on_state(Host, #{account := Account, outcome := Outcome}) ->
    case opt(Host, mode) =:= enforce andalso binary:match(Account, <<"@">>) =/= nomatch andalso split(Account) of
        false -> ok;
        {User, Server} ->
            [enforce(Host, User, Account, Outcome) || Server =:= Host],
            Final = lists:member(Outcome, [restrict, suspend, ban]) andalso not is_exempt(Host, Account),
            [spawn(fun() -> take_back(Host, User, Server, Account) end) || Final],
            ok
    end.

enforce(Host, User, Account, ban) ->
    case not is_exempt(Host, Account) andalso not kept({disabled, User, Host}) andalso ejabberd_auth:user_exists(User, Host) of
        true ->
            case mod_admin_extra:ban_account_v2(User, Host, <<"Account disabled">>) of
                ok -> keep({disabled, User, Host});
                account_was_already_banned -> ok;
                Error -> ?ERROR_MSG("An account cannot be disabled: ~p; load mod_private", [Error])
            end;
        false -> ok
    end;
enforce(Host, User, _, _) ->
    case kept({disabled, User, Host}) of
        true ->
            case mod_admin_extra:unban_account(User, Host) of
                mod_private_is_required_but_disabled = Error -> ?ERROR_MSG("An account cannot be enabled again: ~p", [Error]);
                _ -> forget({disabled, User, Host})
            end;
        false -> ok
    end.

%% A lift that came while this server was down.
on_states_loaded(Host) ->
    Users = [User || {disabled, User, H} <- mnesia:dirty_all_keys(wavebreak_kept), H =:= Host],
    [enforce(Host, User, Account, allow) || User <- Users, Account <- [<<User/binary, $@, Host/binary>>],
                                            element(1, ?CLIENT:state(Host, Account)) =/= ban],
    ok.

%% Whom an account has written to, asked or invited as a stranger, and who has not answered: what waits there for
%% them is taken back after a verdict.

-define(REACHED, 500).

note_reached(Host, #{event := #{type := Type, account := Account, peer := Peer}, opens := Opens})
  when Type =:= <<"message.sent">>; Type =:= <<"contact.requested">>; Type =:= <<"contact.accepted">> ->
    case opt(Host, mode) of
        enforce ->
            answered(Peer, Account),
            [reached(Account, Peer) || Opens, Type =/= <<"contact.accepted">>];
        shadow -> ok
    end;
note_reached(_, _) -> ok.

reached_by(Account) ->
    case mnesia:dirty_read(wavebreak_kept, {reached, Account}) of
        [#wavebreak_kept{value = Peers}] -> Peers;
        [] -> #{}
    end.

answered(Account, Peer) ->
    case reached_by(Account) of
        #{Peer := _} = Peers ->
            case maps:remove(Peer, Peers) of
                Left when map_size(Left) =:= 0 -> forget({reached, Account});
                Left -> mnesia:dirty_write(#wavebreak_kept{key = {reached, Account}, value = Left})
            end;
        _ -> ok
    end.

reached(Account, Peer) ->
    Peers = reached_by(Account),
    case is_map_key(Peer, Peers) orelse map_size(Peers) >= ?REACHED of
        true -> ok;
        false -> mnesia:dirty_write(#wavebreak_kept{key = {reached, Account}, value = Peers#{Peer => erlang:system_time(second)}})
    end.

take_back(Host, User, Server, Account) ->
    Kinds = opt(Host, take_back),
    Peers = [{U, S, Peer} || Kinds =/= [], Peer <- maps:keys(reached_by(Account)), binary:match(Peer, <<"@">>) =/= nomatch,
                             {U, S} <- [split(Peer)], S =:= Host],
    Strangers = [One || {_, _, Peer} = One <- Peers, item(Peer, Account) =:= none],
    [take_back_request(Account, Peer) || lists:member(requests, Kinds), {_, _, Peer} <- Strangers],
    [take_back_messages(U, S, Account) || lists:member(undelivered, Kinds), {U, S, _} <- Strangers],
    [answered(Account, Peer) || {_, _, Peer} <- Peers],
    [take_back_own_requests(User, Server, Account) || Server =:= Host, lists:member(requests, Kinds), gen_mod:is_loaded(Host, mod_roster)],
    ok.

take_back_request(Account, Peer) ->
    case mnesia:dirty_read(wavebreak_kept, {request, Peer, Account}) of
        [#wavebreak_kept{value = {_, Held}}] when is_list(Held) -> forget({request, Peer, Account});
        _ -> ok
    end,
    [unsubscribe(jid:decode(Account), jid:decode(Peer)) || pending_in(Peer, Account)].

unsubscribe(From, To) -> ejabberd_router:route(#presence{type = unsubscribe, from = From, to = To}).

%% Those to other servers too.
take_back_own_requests(User, Host, Account) ->
    From = jid:decode(Account),
    [begin
         Pkt = #presence{type = unsubscribe, from = From, to = jid:make(LJID)},
         mod_roster:out_subscription(Pkt),
         ejabberd_router:route(Pkt)
     end || #roster{jid = LJID, ask = Ask} <- mod_roster:get_roster(User, Host), Ask =:= out orelse Ask =:= both].

%% Messages that wait for somebody who is offline, and their copies in that person's archive.
take_back_messages(User, Host, Account) ->
    case gen_mod:is_loaded(Host, mod_offline) of
        true ->
            Mod = gen_mod:db_mod(Host, mod_offline),
            [begin
                 Mod:remove_message(User, Host, Number),
                 [mod_mam:remove_message_from_archive(User, Host, Id) || Id <- copies(El, <<User/binary, $@, Host/binary>>),
                                                                         gen_mod:is_loaded(Host, mod_mam)]
             end || {Number, From, _, _, El} <- Mod:read_message_headers(User, Host), is_of(bare(From), El, Account)],
            ok;
        false -> ok
    end.

%% Whether a message that waits is the account's: its own, or a room's invitation that names it.
is_of(Account, _, Account) -> true;
is_of(_, El, Account) ->
    try xmpp:get_subtag(xmpp:decode(El, ?NS_CLIENT, [ignore_els]), #muc_user{}) of
        #muc_user{invites = Invites} -> lists:any(fun(#muc_invite{from = By}) -> By =/= undefined andalso bare(By) =:= Account end, Invites);
        _ -> false
    catch _:_ -> false
    end.

copies(#xmlel{children = Children}, Owner) ->
    [binary_to_integer(proplists:get_value(<<"id">>, Attrs))
     || #xmlel{name = <<"stanza-id">>, attrs = Attrs} <- Children, proplists:get_value(<<"by">>, Attrs) =:= Owner].

%% From acts to Wavebreak, and back to the stanza.

texts(en) ->
    #{refused => <<"This is not possible from your account at the moment. Try again later, or ask the operator of this server.">>,
      unavailable => <<"This is not possible for a moment. Try again later.">>,
      request => <<"A first message of this account waits for you. Do you know this person? Accept to read it; decline if you do not.">>,
      closed => <<"This person takes messages, calls and invitations from contacts alone. Ask to become a contact first.">>,
      command => <<"Let only contacts write to me, or everybody again">>,
      closes => <<"From now on only your contacts can write to you, call or invite you. Others can ask to become one.">>,
      opens => <<"From now on everybody can write to you.">>,
      mentions => <<"In rooms that you have just joined you cannot mention many people at once for now. Without mentioning everyone you can write there; all other chats go on.">>,
      moderators => <<"{sender} is new in the room {room}, mentioned many people at once again and again or was reported for it, and now cannot for a while. Other messages of this account still arrive: whether it stays in the room is for you to decide.">>,
      restrict => <<"Your account cannot start new chats or groups{until}. Chats that you have already go on.">>,
      suspend => <<"Your account is suspended{until}. You can read, but not send.">>,
      ban => <<"Your account is blocked{until}.">>,
      until => " until ~4..0b-~2..0b-~2..0b ~2..0b:~2..0b UTC"};
texts(he) ->
    #{refused => <<"הפעולה אינה אפשרית כרגע מהחשבון שלך. אפשר לנסות שוב מאוחר יותר או לפנות למפעיל השרת."/utf8>>,
      unavailable => <<"הפעולה אינה אפשרית לרגע. אפשר לנסות שוב מאוחר יותר."/utf8>>,
      request => <<"הודעה ראשונה מחשבון זה ממתינה לך. האם השולח מוכר לך? אישור יציג אותה, וסירוב ידחה אותה."/utf8>>,
      closed => <<"האדם הזה מקבל הודעות, שיחות והזמנות מאנשי קשר בלבד. אפשר לבקש קודם להתווסף לאנשי הקשר."/utf8>>,
      command => <<"רק אנשי קשר יכולים לכתוב לי, או שוב כולם"/utf8>>,
      closes => <<"מעכשיו רק אנשי הקשר שלך יכולים לכתוב, להתקשר ולהזמין אותך. אחרים יכולים לבקש להתווסף."/utf8>>,
      opens => <<"מעכשיו כולם יכולים לכתוב לך."/utf8>>,
      mentions => <<"בחדרים שהצטרפת אליהם זה עתה אי אפשר כרגע להזכיר אנשים רבים בבת אחת. בלי לאזכר את כולם אפשר לכתוב שם; כל יתר השיחות ממשיכות."/utf8>>,
      moderators => <<"החשבון {sender} חדש בחדר {room}, הזכיר שם אנשים רבים בבת אחת שוב ושוב או שדווח על כך, ולעת עתה אינו יכול לעשות זאת. הודעות אחרות שלו ממשיכות להגיע: ההחלטה אם יישאר בחדר היא שלך."/utf8>>,
      restrict => <<"החשבון שלך אינו יכול לפתוח שיחות או קבוצות חדשות{until}. שיחות קיימות ממשיכות."/utf8>>,
      suspend => <<"החשבון שלך מושעה{until}. אפשר לקרוא, אך לא לשלוח."/utf8>>,
      ban => <<"החשבון שלך חסום{until}."/utf8>>,
      until => " עד ~4..0b-~2..0b-~2..0b ~2..0b:~2..0b (UTC)"}.

language(<<"he", _/binary>>) -> he;
language(<<"iw", _/binary>>) -> he;
language(_) -> en.

closed_on_failure(Host, Type) ->
    OnFailure = opt(Host, on_failure),
    case Type of
        <<"account.registered">> -> proplists:get_value(registration, OnFailure, closed) =:= closed;
        _ -> proplists:get_value(messaging, OnFailure, open) =:= closed
    end.

must_ask(Host, #{event := #{type := Type, account := Account}, opens := Opens}) ->
    lists:member(Type, ?ASKED) andalso
        case opt(Host, ask) of
            never -> false;
            always -> true;
            new_chats -> ?CLIENT:needs_asking(Host, Account, Opens)
        end.

refused_by_state(_, []) -> none;
refused_by_state(Host, [#{event := #{type := Type, account := Account}, opens := Opens} | Rest]) ->
    case lists:member(Type, ?ASKED) andalso ?CLIENT:refused_by_state(Host, Account, Opens) of
        #{} = State -> State;
        _ -> refused_by_state(Host, Rest)
    end.

%% An account that may do nothing shows nobody anything, whether it counts or not. `Sender`: {From, Stanza}, or none.
refused_all(_, none) -> none;
refused_all(Host, {From, El}) ->
    case opt(Host, mode) =:= enforce andalso ?CLIENT:refused_by_state(Host, ?MAPPING:account_id(From), false) of
        #{} = State -> case ?MAPPING:is_visible(El) of true -> State; false -> none end;
        _ -> none
    end.

ask_about(Host, Acts, Sender) ->
    case ask_about(Host, Acts) of
        {allow, Kind} ->
            case refused_all(Host, Sender) of
                none -> {allow, Kind};
                State -> {{state, State}, Kind}
            end;
        Verdict -> Verdict
    end.

%% allow, {refused, Answer}, {state, State} or unavailable; then whether it asked.
ask_about(Host, Acts) ->
    Asked = [Event || #{event := Event} = Act <- Acts, must_ask(Host, Act)],
    case {opt(Host, mode), Asked} of
        {shadow, []} -> {allow, told};
        %% Nothing waits in shadow: the answer is only counted.
        {shadow, _} ->
            spawn(fun() ->
                case ?CLIENT:decide(Host, Asked, "ask") of
                    {ok, #{<<"allowed">> := false}} -> ?CLIENT:count(Host, refused);
                    _ -> ok
                end
            end),
            {allow, asked};
        {enforce, []} -> {by_state(Host, Acts), told};
        {enforce, _} ->
            case ?CLIENT:decide(Host, Asked, "attempt") of
                {ok, #{<<"allowed">> := true} = Answer} ->
                    erlang:put(wavebreak_answer, Answer),
                    {allow, asked};
                {ok, Answer} ->
                    case {registers_without_answer(Answer, Asked), closed_on_failure(Host, <<"account.registered">>)} of
                        {false, _} -> {{refused, Answer}, asked};
                        {true, true} -> {unavailable, asked};
                        {true, false} -> {allow, asked}
                    end;
                {error, Reason} ->
                    Closed = Reason =/= key andalso lists:any(fun(#{event := #{type := Type}}) -> closed_on_failure(Host, Type) end, Acts),
                    case {by_state(Host, Acts), Closed} of
                        {allow, true} -> {unavailable, asked};
                        {Verdict, _} -> {Verdict, asked}
                    end
            end
    end.

%% Whether Wavebreak itself had no answer to a registration: its engine starts, or is replaced.
registers_without_answer(#{<<"mode">> := <<"on_failure">>, <<"outcome">> := Outcome}, [#{type := <<"account.registered">>}]) ->
    lists:member(Outcome, [<<"allow">>, <<"observe">>, <<"request">>]);
registers_without_answer(_, _) -> false.

by_state(Host, Acts) ->
    case refused_by_state(Host, Acts) of
        none -> allow;
        State -> {state, State}
    end.

%% allow, or {refuse, Condition, Text, Language}; what the cache refused is sent as an attempt.
judge(Host, Acts, Lang) -> judge(Host, Acts, Lang, none).

judge(Host, Acts, Lang, Sender) ->
    case refused_by_recipient(Host, Acts) of
        true -> {{refuse, closed, maps:get(closed, texts(language(Lang))), language(Lang)}, told};
        false -> judge_by_answer(Host, Acts, Lang, Sender)
    end.

judge_by_answer(Host, Acts, Lang, Sender) ->
    Language = language(Lang),
    {Verdict, Kind} = ask_about(Host, Acts, Sender),
    [?CLIENT:count(Host, refused) || Verdict =/= allow],
    [spawn(fun() -> tell_moderators(Room, Account) end) || {refused, #{<<"outcome">> := <<"limit">>}} <- [Verdict],
                                                           #{event := #{mentions := _, group := Room, account := Account}} <- Acts],
    Result = case Verdict of
                 allow -> allow;
                 unavailable -> {refuse, unavailable, maps:get(unavailable, texts(Language)), Language};
                 {refused, Answer} ->
                     {refuse, refused_how(Host, maps:get(<<"notify_at_ms">>, Answer, null)), text_of(Host, Acts, Answer, Language), Language};
                 {state, State} ->
                     [?CLIENT:tell(Host, Event#{attempted => true}) || #{event := #{type := Type} = Event} <- Acts, lists:member(Type, ?ASKED)],
                     {refuse, refused_how(Host, maps:get(notify_at_ms, State, null)), refusal_text(Host, State, Language), Language}
             end,
    {Result, Kind}.

%% Of a limit the notice is about new chats.
text_of(_, [#{event := #{mentions := _}} | _], #{<<"outcome">> := <<"limit">>}, Language) -> maps:get(mentions, texts(Language));
text_of(Host, _, Answer, Language) -> refusal_text(Host, Answer, Language).

%% A refusal may be kept from its sender until the time at which Wavebreak lets it be known.
refused_how(Host, At) ->
    case opt(Host, silence) andalso is_integer(At) andalso At > ?CLIENT:now_ms(Host) of
        true -> silent;
        false -> refused
    end.

%% What a sender reads who is refused, at once: Wavebreak's notice, which says how many places are left and what
%% frees one; where the cache refuses, what applies and until when. A person who is told nothing tries again.
refusal_text(Host, Refusal, Language) ->
    Name = atom_to_binary(Language),
    case Refusal of
        #{<<"notice">> := #{Name := <<_, _/binary>> = Notice}} ->
            case {is_due(Host, Refusal), Refusal} of
                {true, #{<<"statement_url">> := Url}} when is_binary(Url) -> <<Notice/binary, " ", Url/binary>>;
                _ -> Notice
            end;
        _ -> proplists:get_value(Language, opt(Host, notice), state_text(Refusal, texts(Language)))
    end.

%% Whether Wavebreak lets the holder know by now.
is_due(Host, Answer) ->
    case Answer of
        #{<<"notify_at_ms">> := At} when is_integer(At) -> At =< ?CLIENT:now_ms(Host);
        _ -> true
    end.

state_text(State, #{refused := Refused, until := Format} = Texts) ->
    Text = maps:get(maps:get(outcome, State, refused), Texts, Refused),
    Ends = case State of
               #{until_ms := At} when is_integer(At) ->
                   {{Year, Month, Day}, {Hour, Minute, _}} = calendar:system_time_to_universal_time(At, millisecond),
                   unicode:characters_to_binary(io_lib:format(Format, [Year, Month, Day, Hour, Minute]));
               _ -> <<>>
           end,
    binary:replace(Text, <<"{until}">>, Ends).

tell(Host, Ctx, Acts) ->
    lists:foreach(fun(#{event := Event} = Act) ->
                          ?MAPPING:done(Ctx, Act),
                          note_reached(Host, Act),
                          ?CLIENT:tell(Host, Event)
                  end, Acts).

%% allow once the acts are sent, request where the act is to arrive as one, or the refusal. `Sender`: {From, Stanza}
%% of what goes to somebody, which may be no act at all; or none.
perform(Host, Ctx, Acts, Lang) -> perform(Host, Ctx, Acts, Lang, none).

perform(Host, Ctx, [], Lang, Sender) ->
    case refused_all(Host, Sender) of
        none -> allow;
        _ -> perform(Host, Ctx, [], element(1, Sender), Lang, Sender)
    end;
perform(Host, Ctx, [#{event := #{account := Account}} | _] = Acts, Lang, Sender) -> perform(Host, Ctx, Acts, Account, Lang, Sender).

perform(Host, Ctx, Acts, Account, Lang, Sender) ->
    case is_exempt(Host, Account) of
        true -> allow;
        false ->
            erase(wavebreak_answer),
            ?LISTS:before(Host, Account),
            {Result, Kind} = judge(Host, Acts, Lang, Sender),
            put(wavebreak_kind, Kind),
            case {Result, erase(wavebreak_answer)} of
                {allow, #{<<"deliver_as">> := <<"request">>}} ->
                    %% A chat that waits for its answer is no open one: its next message is asked about too.
                    [begin note_reached(Host, Act), ?CLIENT:tell(Host, Event) end || #{event := Event} = Act <- Acts],
                    request;
                {allow, Answer} ->
                    tell(Host, Ctx, Acts),
                    tell_places(Host, Account, Answer, language(Lang)),
                    allow;
                _ -> Result
            end
    end.

%% The text for a sender of whose limit few places are left: once a limit, when it may be known.
tell_places(Host, Account, #{<<"near_limit">> := true, <<"notice">> := #{} = Notice} = Answer, Language) ->
    Limit = maps:get(<<"until">>, Answer, null),
    case {is_due(Host, Answer), get(places, Account), maps:get(atom_to_binary(Language), Notice, null)} of
        {true, {ok, Limit}, _} -> ok;
        {true, _, Text} when is_binary(Text) ->
            put(places, Account, Limit),
            ejabberd_router:route(#message{from = jid:make(Host), to = jid:decode(Account), body = xmpp:mk_text(Text)});
        _ -> ok
    end;
tell_places(_, _, _, _) -> ok.

%% A first message that is to arrive as a request waits here, and its recipient gets a subscription
%% request with a question. Accepting it, or writing to the sender, delivers what waits; who has
%% declined is not asked again.

-define(HELD_A_CHAT, 10).
-define(HELD_S, 30 * 86400).

%% request where the message is held; one to another server is not.
hold(Host, #message{to = To} = Pkt, From) ->
    Peer = jid:remove_resource(To),
    case opt(Host, requests) =:= hold andalso ejabberd_router:is_my_host(Peer#jid.lserver)
        andalso ejabberd_auth:user_exists(Peer#jid.luser, Peer#jid.lserver) of
        true ->
            Key = {request, bare(Peer), From},
            Now = erlang:system_time(second),
            Held = case mnesia:dirty_read(wavebreak_kept, Key) of
                       [#wavebreak_kept{value = {Since, Kept}}] when Now - Since =< ?HELD_S -> Kept;
                       _ -> none
                   end,
            [begin
                 Question = maps:get(request, texts(language(Pkt#message.lang))),
                 ejabberd_router:route(#presence{type = subscribe, from = jid:decode(From), to = Peer, status = xmpp:mk_text(Question)})
             end || Held =:= none],
            Stamped = misc:add_delay_info(Pkt, jid:make(Host), erlang:timestamp()),
            case Held of
                declined -> ok;
                none -> mnesia:dirty_write(#wavebreak_kept{key = Key, value = {Now, [Stamped]}});
                _ when length(Held) >= ?HELD_A_CHAT -> ok;
                _ -> mnesia:dirty_write(#wavebreak_kept{key = Key, value = {Now, Held ++ [Stamped]}})
            end,
            request;
        false -> allow
    end.

end_request(Recipient, From, Accepted) ->
    Key = {request, Recipient, From},
    case mnesia:dirty_read(wavebreak_kept, Key) of
        [#wavebreak_kept{value = {_, Held}}] when Accepted ->
            forget(Key),
            [ejabberd_router:route(Pkt) || is_list(Held), Pkt <- Held],
            ok;
        [_] -> mnesia:dirty_write(#wavebreak_kept{key = Key, value = {erlang:system_time(second), declined}});
        [] -> ok
    end.

%% Only what gets no answer where it is delivered is dropped silently: a client would wait for a room's.
refuse(#message{}, {refuse, silent, _, _}) -> ok;
refuse(#presence{type = subscribe}, {refuse, silent, _, _}) -> ok;
refuse(Pkt, Refusal) -> ejabberd_router:route_error(Pkt, error_of(Refusal)).

error_of({refuse, Why, Text, Language}) ->
    Lang = atom_to_binary(Language),
    {Type, Reason} = case Why of
                         unavailable -> {wait, 'resource-constraint'};
                         closed -> {auth, forbidden};
                         _ -> {wait, 'policy-violation'}
                     end,
    #stanza_error{type = Type, reason = Reason, text = [#text{lang = Lang, data = Text}]}.

%% People who take nothing from strangers but the request to become a contact: everybody, or who wished so.

takes_only_contacts(User, Host) ->
    case mnesia:dirty_read(wavebreak_kept, {only_contacts, User, Host}) of
        [#wavebreak_kept{value = Choice}] -> Choice;
        [] -> opt(Host, only_contacts)
    end.

%% That person complains of nothing: what is told is a request in vain.
refused_by_recipient(Host, Acts) ->
    Ctx = context(Host),
    Closed = [Event || #{event := #{type := Type, account := Account, peer := Peer} = Event} <- Acts,
                       lists:member(Type, [<<"message.sent">>, <<"call.started">>, <<"group.member_added">>]),
                       binary:match(Peer, <<"@">>) =/= nomatch, {User, Server} <- [split(Peer)], Server =:= Host,
                       takes_only_contacts(User, Host), not ?MAPPING:is_known(Ctx, Account, Peer)],
    case Closed of
        [#{account := From, peer := To} = Event | _] ->
            #{event := Asked} = ?MAPPING:asked_in_vain(Ctx, From, To, maps:get(origin, Event, undefined)),
            ?CLIENT:tell(Host, Asked),
            true;
        [] -> false
    end.

-define(COMMAND, <<"wavebreak:only-contacts">>).

adhoc_items(Acc, #jid{lserver = Host}, #jid{lserver = Host} = To, Lang) ->
    Items = case Acc of {result, Found} -> Found; _ -> [] end,
    {result, Items ++ [#disco_item{jid = To, node = ?COMMAND, name = maps:get(command, texts(language(Lang)))}]};
adhoc_items(Acc, _, _, _) -> Acc.

adhoc_command(_Acc, #jid{luser = User, lserver = Host}, #jid{lserver = Host}, #adhoc_command{node = ?COMMAND, action = execute, lang = Lang} = Request) ->
    Choice = not takes_only_contacts(User, Host),
    mnesia:dirty_write(#wavebreak_kept{key = {only_contacts, User, Host}, value = Choice}),
    Text = maps:get(case Choice of true -> closes; false -> opens end, texts(language(Lang))),
    xmpp_util:make_adhoc_response(Request, #adhoc_command{status = completed, notes = [#adhoc_note{type = info, data = Text}]});
adhoc_command(Acc, _, _, _) -> Acc.

%% Reports that go on, to whom its reporter lets: the reported account's server, and the addresses of the option.

forward(Host, #{about := About, origin := ToOrigin, third_party := ToOthers} = Report) ->
    {_, Origin} = split(About),
    Options = opt(Host, forward_reports),
    case ToOrigin andalso lists:member(<<"origin">>, Options) andalso not ejabberd_router:is_my_route(Origin) of
        true ->
            Query = #iq{type = get, from = jid:make(Host), to = jid:make(Origin), sub_els = [#disco_info{}]},
            ejabberd_router:route_iq(Query, fun(Reply) ->
                Found = abuse_addresses(Reply),
                [send_report(Host, To, Report) || To <- case Found of [] -> [jid:make(Origin)]; _ -> Found end]
            end);
        false -> ok
    end,
    [send_report(Host, jid:decode(To), Report) || ToOthers, To <- Options, To =/= <<"origin">>],
    ok.

abuse_addresses(#iq{type = result} = Reply) ->
    try xmpp:get_subtag(xmpp:decode_els(Reply), #disco_info{}) of
        #disco_info{xdata = Forms} ->
            [jid:decode(hd(binary:split(Address, <<"?">>)))
             || Form <- Forms, xmpp_util:has_xdata_var(<<"FORM_TYPE">>, Form),
                xmpp_util:get_xdata_values(<<"FORM_TYPE">>, Form) =:= [<<"http://jabber.org/network/serverinfo">>],
                <<"xmpp:", Address/binary>> <- xmpp_util:get_xdata_values(<<"abuse-addresses">>, Form)];
        _ -> []
    catch _:_ -> []
    end;
abuse_addresses(_) -> [].

%% Neither who reports nor what was written: the account, and why.
send_report(Host, To, #{about := About, reason := Reason, origin := Origin, third_party := ThirdParty}) ->
    Consents = [#xmlel{name = Name} || {Name, true} <- [{<<"report-origin">>, Origin}, {<<"third-party">>, ThirdParty}]],
    ejabberd_router:route(#message{from = jid:make(Host), to = To, id = p1_rand:get_string(), sub_els = [
        #xmlel{name = <<"report">>, attrs = [{<<"xmlns">>, <<"urn:xmpp:reporting:1">>}, {<<"reason">>, Reason}], children = Consents},
        #xmlel{name = <<"jid">>, attrs = [{<<"xmlns">>, <<"urn:xmpp:jid:0">>}], children = [{xmlcdata, About}]}]}).

timed(Host, Work) ->
    Began = erlang:monotonic_time(microsecond),
    erase(wavebreak_kind),
    Result = Work(),
    case erase(wavebreak_kind) of
        undefined -> ok;
        Kind -> ?CLIENT:measured(Host, Kind, erlang:monotonic_time(microsecond) - Began)
    end,
    Result.

%% Stanzas of accounts here, before they are routed.
user_send_packet({Pkt, #{lserver := Host, jid := JID} = State} = Acc) ->
    case timed(Host, fun() -> outgoing(Host, Pkt, bare(JID), undefined) end) of
        allow -> Acc;
        {allow, Marked} -> {Marked, State};
        request -> {stop, {drop, State}};
        Refusal ->
            refuse(Pkt, Refusal),
            {stop, {drop, State}}
    end;
user_send_packet(Acc) -> Acc.

%% Stanzas of accounts of other servers.
s2s_receive_packet({Pkt, State} = Acc) ->
    #jid{luser = User, lserver = Origin} = From = xmpp:get_from(Pkt),
    Host = ejabberd_router:host_of_route((xmpp:get_to(Pkt))#jid.lserver),
    case User =/= <<>> andalso opt(Host, remote) andalso timed(Host, fun() -> outgoing(Host, Pkt, bare(From), Origin) end) of
        false -> Acc;
        allow -> Acc;
        {allow, Marked} -> {Marked, State};
        request -> {stop, {drop, State}};
        Refusal ->
            refuse(Pkt, Refusal),
            {stop, {drop, State}}
    end.

outgoing(Host, #message{to = #jid{luser = User, lserver = To}} = Pkt, From, Origin) ->
    Ctx = context(Host),
    case User =/= <<>> andalso is_room_host(To) of
        true -> room_stanza(Host, Ctx, Pkt, From, Origin);
        false ->
            El = xmpp:encode(Pkt, ?NS_CLIENT),
            Acts = case {?MAPPING:message(Ctx, El, From, Origin), Pkt} of
                       {[], #message{type = error}} when Origin =/= undefined -> ?MAPPING:bounce(Ctx, El);
                       {Found, _} -> Found
                   end,
            case {perform(Host, Ctx, without_receipts(Host, Acts), Pkt#message.lang, sender(From, Pkt, El)), Acts} of
                {request, _} -> hold(Host, Pkt, From);
                {allow, [#{event := #{type := <<"message.sent">>}} | _]} ->
                    end_request(From, bare(Pkt#message.to), true),
                    allow;
                {Result, _} -> Result
            end
    end;
outgoing(Host, #presence{type = Type, to = #jid{lserver = To, lresource = Nick}} = Pkt, From, Origin) when Type =/= error, Type =/= probe ->
    case is_room_host(To) of
        true when Nick =:= <<>> -> allow;
        true when Type =:= available; Type =:= unavailable -> room_stanza(Host, context(Host), Pkt, From, Origin);
        true -> allow;
        false ->
            Ctx = context(Host),
            El = xmpp:encode(Pkt, ?NS_CLIENT),
            Result = perform(Host, Ctx, ?MAPPING:presence(Ctx, El, From, Origin), Pkt#presence.lang, sender(From, Pkt, El)),
            [end_request(From, bare(Pkt#presence.to), Type =:= subscribed)
             || Result =:= allow, Type =:= subscribed orelse Type =:= unsubscribed],
            %% A request for contact is one already.
            case Result of request when Type =:= subscribe -> allow; _ -> Result end
    end;
outgoing(Host, #iq{type = Type, to = To, sub_els = [_]} = Pkt, From, Origin) when Type =:= get; Type =:= set ->
    case To of
        #jid{lresource = <<>>} when Type =:= get -> allow;
        undefined when Type =:= get -> allow;
        _ -> query(Host, Pkt, From, Origin)
    end;
outgoing(_, _, _, _) -> allow.

query(Host, #iq{type = Type} = Pkt, From, Origin) ->
    El = xmpp:encode(Pkt, ?NS_CLIENT),
    Ctx = context(Host),
    Own = case El of
              #xmlel{children = [#xmlel{name = Name, attrs = Attrs} | _]} when Origin =:= undefined, Type =:= set ->
                  case {Name, proplists:get_value(<<"xmlns">>, Attrs)} of
                      {<<"query">>, ?NS_ROSTER} -> case opt(Host, contacts) of true -> ?MAPPING:roster(Ctx, El, From); false -> [] end;
                      {_, ?NS_BLOCKING} when Name =:= <<"block">>; Name =:= <<"unblock">> -> ?MAPPING:blocking(Ctx, El, From);
                      _ -> []
                  end;
              _ -> []
          end,
    Acts = Own ++ ?MAPPING:iq(Ctx, El, From, Origin),
    Result = perform(Host, Ctx, Acts, Pkt#iq.lang, sender(From, Pkt, El)),
    [end_request(From, Peer, false) || #{event := #{type := <<"user.blocked">>, peer := Peer}} <- Acts],
    [forward(Host, Report) || #{report := Report} <- Acts],
    case Result of request -> allow; _ -> Result end.

%% Who sends a stanza to somebody else: to itself and to this server an account may send what it likes.
sender(From, Pkt, El) ->
    case xmpp:get_to(Pkt) of
        #jid{luser = User} = To when User =/= <<>> ->
            case bare(To) =:= From orelse is_room_host(To#jid.lserver) of
                true -> none;
                false -> {From, El}
            end;
        _ -> none
    end.

without_receipts(Host, Acts) ->
    case opt(Host, receipts) of
        true -> Acts;
        false -> [Act || #{event := #{type := Type}} = Act <- Acts, Type =/= <<"message.delivered">>, Type =/= <<"message.read">>]
    end.

%% Rooms: asked about in the sender's process, never in the room's; sent once the room lets it pass.

room_stanza(Host, Ctx, Pkt, From, Origin) ->
    case is_exempt(Host, From) of
        true -> allow;
        false -> room_act(Host, Ctx, Pkt, From, Origin)
    end.

room_act(Host, Ctx, #presence{type = available, to = To} = Pkt, From, Origin) ->
    #jid{luser = Room, lserver = RoomHost} = To,
    case xmpp:has_subtag(Pkt, #muc{}) andalso not room_exists(Host, Room, RoomHost) of
        true ->
            Act = ?MAPPING:room_created(Ctx, From, bare(To), Origin),
            {Result, Kind} = judge(Host, [Act], Pkt#presence.lang),
            put(wavebreak_kind, Kind),
            [put(creating, {Room, RoomHost}, {From, Act}) || Result =:= allow],
            Result;
        false ->
            case opt(Host, mode) =:= enforce andalso ?CLIENT:refused_by_state(Host, ?MAPPING:account_id(From), false) of
                #{} = State ->
                    ?CLIENT:count(Host, refused),
                    Language = language(Pkt#presence.lang),
                    {refuse, refused, refusal_text(Host, State, Language), Language};
                _ -> allow
            end
    end;
room_act(Host, Ctx, #presence{type = unavailable, to = To}, From, Origin) ->
    %% Only a client that leaves says so to the room itself; one that goes offline does not leave.
    Room = bare(To),
    case kept({joined, Room, From}) of
        true ->
            forget({joined, Room, From}),
            tell(Host, Ctx, [?MAPPING:room_left(Ctx, From, Room, Origin)]),
            allow;
        false -> allow
    end;
room_act(Host, Ctx, #message{type = Type, to = To} = Pkt, From, Origin) when Type =/= error ->
    El = xmpp:encode(Pkt, ?NS_CLIENT),
    Room = bare(To),
    Acts = case {Type, To#jid.lresource} of
               {groupchat, _} -> ?MAPPING:room_message(Ctx, El, From, Room, undefined, Origin, fun() -> newcomer(To, From) end);
               {_, <<>>} -> ?MAPPING:room_invitations(Ctx, El, From, Room, Origin);
               {_, Nick} ->
                   case occupant(To, Nick) of
                       none -> [];
                       Peer -> ?MAPPING:room_private(Ctx, El, From, Peer, Origin)
                   end
           end,
    {Result, Kind} = judge(Host, Acts, Pkt#message.lang, {From, El}),
    [put(wavebreak_kind, Kind) || Acts =/= [] orelse Result =/= allow],
    case Result of
        allow when Acts =/= [] -> {allow, xmpp:put_meta(Pkt, wavebreak, Acts)};
        _ -> Result
    end;
room_act(_, _, _, _, _) -> allow.

room_exists(Host, Room, RoomHost) ->
    case mod_muc:find_online_room(Room, RoomHost) of
        {ok, _} -> true;
        error ->
            try mod_muc:unhibernate_room(Host, RoomHost, Room) of
                {ok, _} -> true;
                _ -> false
            catch _:_ -> false
            end
    end.

%% Of who came to a room within a day: for how long it has been there, and who else is, by nickname. Who has a say
%% there, or was made a member, is trusted by its people.
newcomer(#jid{luser = Room, lserver = RoomHost} = To, From) ->
    Before = joined_s(To, From),
    try Before =:= none orelse Before < ?NEW_IN_ROOM_S of
        true ->
            %% The room answers once it has handled what this process sent it before: who sends at once has joined by now.
            Affiliation = mod_muc_admin:get_room_affiliation(Room, RoomHost, From),
            Occupants = [{bare(jid:decode(JID)), Nick, Role} || {JID, Nick, Role} <- mod_muc_admin:get_room_occupants(Room, RoomHost)],
            Moderates = [JID || {JID, _, Role} <- Occupants, JID =:= From, iolist_to_binary(Role) =:= <<"moderator">>] =/= [],
            case joined_s(To, From) of
                Joined when is_integer(Joined), Affiliation =:= none, not Moderates ->
                    {Joined, [{Nick, JID} || {JID, Nick, _} <- Occupants, JID =/= From]};
                _ -> none
            end;
        false -> none
    catch _:_ -> none
    end.

%% For how long an account has been in a room; none for who came before this module.
joined_s(Room, From) ->
    case mnesia:dirty_read(wavebreak_kept, {joined, bare(Room), From}) of
        [#wavebreak_kept{value = Since}] -> max(erlang:system_time(second) - Since, 0);
        [] -> none
    end.

%% Owners and admins of a room who are in it, of this server, owners first. Who never came has been named by a stranger,
%% perhaps.
moderators_of(#jid{luser = Room, lserver = RoomHost} = To) ->
    Occupants = [bare(jid:decode(JID)) || {JID, _, _} <- mod_muc_admin:get_room_occupants(Room, RoomHost)],
    Able = [{Kind, JID} || {User, Server, Kind, _} <- mod_muc_admin:get_room_affiliations(Room, RoomHost),
                           Kind =:= owner orelse Kind =:= admin, User =/= <<>>, ejabberd_router:is_my_host(Server),
                           JID <- [<<User/binary, $@, Server/binary>>],
                           lists:member(JID, Occupants) orelse kept({joined, bare(To), JID})],
    lists:sublist([JID || {owner, JID} <- Able] ++ [JID || {admin, JID} <- Able], ?MOST_MODERATORS).

%% Once an hour a room: a wave of accounts must not flood them. A client shows the language of its user.
tell_moderators(RoomJid, Account) ->
    case ets_cache:insert_new(cache(told_of), {RoomJid, erlang:system_time(second) div 3600}, true) of
        true ->
            Body = [#text{lang = atom_to_binary(Language), data = text_for_moderators(Language, Account, RoomJid)} || Language <- [en, he]],
            [ejabberd_router:route(#message{type = normal, lang = <<"en">>, id = p1_rand:get_string(), from = jid:make(Server), to = To, body = Body})
             || JID <- moderators_of(jid:decode(RoomJid)), #jid{lserver = Server} = To <- [jid:decode(JID)]],
            ok;
        false -> ok
    end.

text_for_moderators(Language, Account, RoomJid) ->
    lists:foldl(fun({Name, Value}, Text) -> binary:replace(Text, Name, Value) end, maps:get(moderators, texts(Language)),
                [{<<"{sender}">>, Account}, {<<"{room}">>, RoomJid}]).

occupant(#jid{luser = Room, lserver = RoomHost}, Nick) ->
    try mod_muc_admin:get_room_occupants(Room, RoomHost) of
        Occupants ->
            case [JID || {JID, N, _} <- Occupants, N =:= Nick] of
                [JID | _] -> bare(jid:decode(JID));
                [] -> none
            end
    catch _:_ -> none
    end.

muc_filter_message(#message{from = From} = Pkt, #state{server_host = Host, users = Users}, _Nick) ->
    case xmpp:get_meta(Pkt, wavebreak, []) of
        [] -> ok;
        Acts ->
            Recipients = map_size(Users),
            Counted = [case Event of
                           #{type := <<"message.sent">>, group := _} -> Act#{event := Event#{recipients => Recipients}};
                           _ -> Act
                       end || #{event := Event} = Act <- Acts],
            tell(Host, context(Host), Counted)
    end,
    _ = From,
    xmpp:del_meta(Pkt, wavebreak);
muc_filter_message(Acc, _, _) -> Acc.

muc_invite(Msg, #jid{lserver = RoomHost}, _Config, _From, Invitee, _Reason, Pkt) ->
    Host = ejabberd_router:host_of_route(RoomHost),
    Peer = ?MAPPING:account_id(bare(Invitee)),
    tell(Host, context(Host), [Act || #{event := #{peer := P}} = Act <- xmpp:get_meta(Pkt, wavebreak, []), P =:= Peer]),
    Msg.

join_room(Host, Room, RoomHost, JID) ->
    From = bare(JID),
    RoomJid = <<Room/binary, $@, RoomHost/binary>>,
    Origin = case ejabberd_router:is_my_host(JID#jid.lserver) of true -> undefined; false -> JID#jid.lserver end,
    Sent = not is_exempt(Host, From) andalso (Origin =:= undefined orelse opt(Host, remote)),
    Known = kept({joined, RoomJid, From}),
    %% Clients join their rooms again at each login: only the first time is a join.
    [keep({joined, RoomJid, From}) || Sent, not Known],
    Ctx = context(Host),
    case get(creating, {Room, RoomHost}) of
        {ok, {From, Act}} ->
            %% Who creates a room is in it.
            ets_cache:delete(cache(creating), {Room, RoomHost}),
            [tell(Host, Ctx, [Act]) || Sent];
        _ -> [tell(Host, Ctx, ?MAPPING:room_joined(Ctx, From, RoomJid, Origin)) || Sent, not Known]
    end,
    ok.

room_destroyed(_Host, Room, RoomHost, _Persistent) ->
    RoomJid = <<Room/binary, $@, RoomHost/binary>>,
    [forget(Key) || {joined, R, _} = Key <- mnesia:dirty_all_keys(wavebreak_kept), R =:= RoomJid],
    ok.

%% An archive gave the message an id of its own, which a report names.
user_receive_packet({#message{from = #jid{} = From, to = #jid{} = To, id = Id, meta = #{stanza_id := ArchiveId}} = _Pkt, #{lserver := Host, jid := JID}} = Acc)
  when Id =/= <<>> ->
    El = #xmlel{name = <<"message">>, attrs = [{<<"from">>, jid:encode(From)}, {<<"to">>, jid:encode(To)}, {<<"id">>, Id}]},
    ?MAPPING:archive(context(Host), El, bare(JID), integer_to_binary(ArchiveId)),
    Acc;
user_receive_packet(Acc) -> Acc.

%% Accounts

address({{_, _, _, _} = IP, _}) -> iolist_to_binary(inet:ntoa(IP));
address({{0, 0, 0, 0, 0, 16#ffff, A, B}, _}) -> iolist_to_binary(inet:ntoa({A bsr 8, A band 255, B bsr 8, B band 255}));
address({IP, _}) when is_tuple(IP) -> iolist_to_binary(inet:ntoa(IP));
address(_) -> undefined.

c2s_unauthenticated_packet(#{ip := IP, lserver := Host} = State, #iq{type = set, sub_els = [_]} = Pkt) ->
    try xmpp:try_subtag(Pkt, #register{}) of
        #register{username = Name, remove = false} when is_binary(Name), Name =/= <<>> ->
            case jid:nodeprep(Name) of
                error -> State;
                User -> registering(State, Host, User, address(IP), Pkt)
            end;
        _ -> State
    catch _:_ -> State
    end;
c2s_unauthenticated_packet(State, _) -> State.

registering(State, Host, User, Address, Pkt) ->
    JID = <<User/binary, $@, Host/binary>>,
    case is_exempt(Host, JID) orelse ejabberd_auth:user_exists(User, Host) of
        true -> State;
        false ->
            Act = ?MAPPING:registered(context(Host), JID, Address),
            %% The hook that follows in this process knows no address.
            put({wavebreak_registering, JID}, Act),
            {Result, Kind} = timed(Host, fun() ->
                {Judged, Asked} = judge(Host, [Act], Pkt#iq.lang),
                put(wavebreak_kind, Asked),
                {Judged, Asked}
            end),
            _ = Kind,
            case Result of
                allow -> State;
                _ ->
                    Reply = xmpp:make_error(xmpp:set_from_to(Pkt, jid:make(Host), jid:make(Host)), error_of(Result)),
                    {stop, ejabberd_c2s:send(State, xmpp:set_from_to(Reply, jid:make(Host), undefined))}
            end
    end.

register_user(User, Host) ->
    JID = <<User/binary, $@, Host/binary>>,
    Act = case erase({wavebreak_registering, JID}) of
              undefined -> ?MAPPING:registered(context(Host), JID, undefined);
              Known -> Known
          end,
    [?CLIENT:tell(Host, maps:get(event, Act)) || not is_exempt(Host, JID)],
    ok.

remove_user(User, Host) ->
    JID = <<User/binary, $@, Host/binary>>,
    [?CLIENT:tell(Host, maps:get(event, ?MAPPING:deleted(context(Host), JID))) || not is_exempt(Host, JID)],
    forget({disabled, User, Host}),
    forget({only_contacts, User, Host}),
    forget({elsewhere, ?MAPPING:account_id(JID)}),
    forget({reached, ?MAPPING:account_id(JID)}),
    ok.

session_opened(_SID, #jid{lserver = Host} = JID, Info) ->
    Ctx = context(Host),
    _ = perform(Host, Ctx, [?MAPPING:session(Ctx, bare(JID), address(proplists:get_value(ip, Info)))], <<>>),
    erase(wavebreak_kind),
    ok.

%% Outside lists

local_send(#message{to = #jid{lserver = Host, lresource = <<"wavebreak-lists">>}} = Pkt) ->
    ?LISTS:heard(Host, Pkt),
    stop;
local_send(_) -> ok.

s2s_out_closed(#{server := Host, remote_server := Domain} = State, _Reason) ->
    ?LISTS:gap(Host, Domain),
    State;
s2s_out_closed(State, _) -> State.

s2s_in_terminated(#{auth_domains := Domains} = State, _Reason) ->
    [?LISTS:gap(Host, Domain) || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, ?MODULE), Domain <- sets:to_list(Domains)],
    State;
s2s_in_terminated(State, _) -> State.

%% Commands

%% Before this module goes: accounts that it disabled are enabled, what waits is delivered, and until a restart nothing
%% is refused.
release(Host) ->
    persistent_term:put({?MODULE, released, Host}, true),
    Keys = mnesia:dirty_all_keys(wavebreak_kept),
    Users = [User || {disabled, User, H} <- Keys, H =:= Host],
    [enforce(Host, User, <<User/binary, $@, Host/binary>>, allow) || User <- Users],
    Waiting = [{Recipient, From, length(Held)} || {request, Recipient, From} = Key <- Keys, {_, H} <- [split(Recipient)], H =:= Host,
                                                  #wavebreak_kept{value = {_, Held}} <- mnesia:dirty_read(wavebreak_kept, Key), is_list(Held)],
    [end_request(Recipient, From, true) || {Recipient, From, _} <- Waiting],
    lists:flatten(io_lib:format("~b accounts enabled, ~b messages delivered; nothing is refused until a restart",
                                [length(Users), lists:sum([N || {_, _, N} <- Waiting])])).

resume_list(Host, Name) -> ?LISTS:resume(Host, Name).

get_commands_spec() ->
    [#ejabberd_commands{name = wavebreak_release, tags = [server], desc = "Enable disabled accounts and deliver what waits, before the module is removed",
                        module = ?MODULE, function = release, args = [{host, binary}], args_desc = ["A host"], result = {released, string}},
     #ejabberd_commands{name = wavebreak_resume_list, tags = [server], desc = "Let a list that grew too fast tell of hits again",
                        module = ?MODULE, function = resume_list, args = [{host, binary}, {name, binary}], args_desc = ["A host", "The list's name"],
                        result = {resumed, rescode}},
     #ejabberd_commands{name = wavebreak_status, tags = [server], desc = "Show the connection to Wavebreak, its counters and times",
                        module = ?MODULE, function = status, args = [{host, binary}], args_desc = ["A host"],
                        result = {status, {list, {line, string}}}},
     #ejabberd_commands{name = wavebreak_state, tags = [accounts], desc = "Show what applies to an account",
                        module = ?MODULE, function = account_state, args = [{host, binary}, {jid, binary}], args_desc = ["A host", "The account's JID"],
                        result = {state, string}}].

status(Host) ->
    #{url := Url, times := Times} = Status = ?CLIENT:status(Host),
    Line = fun(Format, Names) -> lists:flatten(io_lib:format(Format, [maps:get(Name, Status) || Name <- Names])) end,
    [lists:flatten(io_lib:format("Wavebreak: ~ts, ~ts, asks ~ts", [Url, opt(Host, mode), opt(Host, ask)])),
     Line("States: ~ts", [states]),
     Line("Events: ~b seen, ~b sent, ~b held, ~b dropped, ~b rejected, ~b late", [told, sent, held, dropped, rejected, late]),
     Line("Questions: ~b asked, ~b without an answer, ~b acts refused", [asked, no_answer, refused]),
     Line("Clock: ~b s behind Wavebreak's", [skew_s])]
        ++ ?LISTS:lines(Host)
        ++ [lists:flatten(io_lib:format("Time, ~ts: ~b acts, p50 ~.3f ms, p99 ~.3f ms", [Kind, N, P50, P99]))
            || {Kind, #{n := N, p50 := P50, p99 := P99}} <- maps:to_list(Times)].

account_state(Host, JID) ->
    {Outcome, State} = ?CLIENT:state(Host, ?MAPPING:account_id(bare(jid:decode(JID)))),
    case State of
        #{number := Number} -> lists:flatten(io_lib:format("~ts, decision ~b", [Outcome, Number]));
        none -> atom_to_list(Outcome)
    end.
