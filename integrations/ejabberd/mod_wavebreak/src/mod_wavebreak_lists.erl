%%% Outside lists (XMPP real-time block lists): read here, where plain addresses are, and compared with who acts.
%%% Wavebreak is told of hits, never of a list; what it convicted is published as such a list.
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

-module(mod_wavebreak_lists).
-behaviour(gen_server).

-export([before/2, heard/2, gap/2, lines/1, resume/2, reload/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, code_change/3]).

-include("logger.hrl").
-include("xmpp.hrl").

-define(RESOURCE, <<"wavebreak-lists">>).
-define(META, <<"https://xmppbl.org/meta/v1">>).
-define(REPORTING, <<"urn:xmpp:reporting:1">>).
-define(FETCH_MS, 600000).
-define(UNSUBSCRIBED_MS, 45000).
-define(RETRY_MS, 5000).
-define(PUBLISH_MS, 30000).
-define(IQ_MS, 30000).
-define(GROWTH, 0.2).
-define(GROWTH_FROM, 30).
-define(PAGES, 1000).

%% `Options`: lists ([{Name, "service/node"}]), key (of the scope `list`), publish ("service/node", or empty), timeout,
%% own (fun/0: domains and JIDs that no list may name), get/1, put/2, delete/1 and keys/0 (what is kept through restarts).
%%
%% What hooks read: an ets table of {Hash, Name} => {Entry, Advice}. What is kept: {told, Name, Entry, Who} =>
%% {As, SinceMs, Day, Gone}, and {list, Name} => {Day, Base, Paused}.

table(Host) -> binary_to_atom(<<"wavebreak_lists_", Host/binary>>).
proc(Host) -> gen_mod:get_module_proc(Host, ?MODULE).
options(Host) -> persistent_term:get({?MODULE, Host}).
reload(Host, Options) -> persistent_term:put({?MODULE, Host}, Options).

sha256(Text) -> str:to_hexlist(crypto:hash(sha256, Text)).
now_ms() -> erlang:system_time(millisecond).

today() ->
    {{Year, Month, Day}, _} = calendar:universal_time(),
    iolist_to_binary(io_lib:format("~4..0b-~2..0b-~2..0b", [Year, Month, Day])).

%% Before an account's first act is asked about, Wavebreak has its hit, or the time for an answer is over.
before(Host, JID) ->
    case options(Host) of
        #{lists := []} -> ok;
        #{timeout := Timeout} = Options ->
            Domain = lists:last(binary:split(JID, <<"@">>)),
            Hits = [{Name, Entry, Advice, As, Who}
                    || {As, Who} <- [{account, JID}, {origin, Domain}], {Name, _} <- maps:get(lists, Options),
                       {_, Entry, Advice} <- ets:lookup(table(Host), {sha256(Who), Name}), is_fresh(Options, Name, Entry, Who)],
            try
                Hits =:= [] orelse gen_server:call(proc(Host), {hits, Hits}, Timeout)
            catch exit:_ -> ok
            end,
            ok
    end.

is_fresh(#{get := Get}, Name, Entry, Who) ->
    case Get({told, Name, Entry, Who}) of
        {_, _, Day, none} -> Day =/= today();
        _ -> true
    end.

heard(Host, Pkt) -> gen_server:cast(proc(Host), {heard, Pkt}).
gap(Host, Domain) -> gen_server:cast(proc(Host), {gap, Domain}).
lines(Host) -> gen_server:call(proc(Host), lines).
resume(Host, Name) -> gen_server:call(proc(Host), {resume, Name}).

init([Host, Options]) ->
    process_flag(trap_exit, true),
    reload(Host, Options),
    ets:new(table(Host), [named_table, {read_concurrency, true}]),
    self() ! start,
    {ok, #{host => Host, lists => #{}, queue => [], sending => none, waiting => [], failures => 0, published => #{}, etag => none}}.

place(Text) ->
    [Service, Node] = binary:split(Text, <<"/">>),
    {Service, Node}.

start(#{host := Host} = State) ->
    #{lists := Named, publish := Publish, key := Key} = Options = options(Host),
    [?ERROR_MSG("mod_wavebreak of ~ts has no `list_key`: make one with `wavebreak key create`, with the scope list alone", [Host])
     || Named =/= [] orelse Publish =/= <<>>, Key =:= <<>>],
    [self() ! publish || Publish =/= <<>>],
    %% What could not be told before this server ended is told again.
    Get = maps:get(get, Options),
    [kept(Options, Told, setelement(4, Get(Told), none)) || {told, _, _, _} = Told <- (maps:get(keys, Options))()],
    Lists = maps:from_list([begin
                                {Service, Node} = place(Place),
                                self() ! {fetch, Name},
                                {Name, #{service => Service, node => Node, loaded => false, subscribed => false, failures => 0, timer => none, turn => 0}}
                            end || {Name, Place} <- Named]),
    State#{lists := Lists}.

kept(#{put := Put}, Key, Value) -> Put(Key, Value).

%% Entries

size(Host, Name) -> ets:select_count(table(Host), [{{{'_', Name}, '_', '_'}, [], [true]}]).

%% What the list says, and the hash that it means. Hashes are of a bare JID or a domain; other lists have these plain.
read(Entry) ->
    case {binary:match(Entry, <<"*">>), byte_size(Entry) =:= 64 andalso re:run(Entry, "^[0-9a-fA-F]+$", [{capture, none}])} of
        {nomatch, match} -> {str:to_lower(Entry), str:to_lower(Entry)};
        {nomatch, _} ->
            try {sha256(jid:encode(jid:tolower(jid:decode(Entry)))), sha256(Entry)} catch _:_ -> none end;
        _ -> none
    end.

%% The recommendations are within a report or beside it.
advice(Els) ->
    Metas = [El || Up <- Els, El <- [Up | children(Up)], fxml:get_tag_attr_s(<<"xmlns">>, El) =:= ?META],
    Said = [Name || Meta <- Metas, {xmlel, <<"recommendations">>, _, _} = One <- children(Meta), {xmlel, Name, _, _} <- children(One)],
    case lists:member(<<"block-strangers">>, Said) of
        true -> delay;
        false -> refuse
    end.

children({xmlel, _, _, Children}) -> [Child || {xmlel, _, _, _} = Child <- Children].

add(Host, Name, #ps_item{id = Entry, sub_els = Els}, #{published := Published}) ->
    case read(Entry) of
        none -> none;
        {Hash, Sha} ->
            #{own := Own} = options(Host),
            case is_map_key(Hash, Published) orelse lists:member(Hash, [sha256(One) || One <- Own()]) of
                true -> ?WARNING_MSG("The list ~ts names this server, its operators or what it has from here: that entry is not used", [Name]);
                false -> ets:insert(table(Host), {{Hash, Name}, Sha, advice(Els)})
            end,
            Hash
    end.

%% A list that grows by more than a fifth within a day tells nothing new until an administrator has looked at it. Its size
%% is compared before a new day begins from it: a list that grows at midnight has grown as well.
watch_growth(Host, Name) ->
    #{get := Get} = Options = options(Host),
    {Count, Today} = {size(Host, Name), today()},
    case Get({list, Name}) of
        {Day, Base, Paused} when Count > Base * (1 + ?GROWTH), Count > Base + ?GROWTH_FROM ->
            [?ERROR_MSG("The list ~ts has grown from ~b to ~b entries since ~ts: it tells nothing new until you run `ejabberdctl wavebreak_resume_list ~ts ~ts`",
                        [Name, Base, Count, Day, Host, Name]) || not Paused],
            kept(Options, {list, Name}, {Day, Base, true});
        {Today, _, _} -> ok;
        {_, _, Paused} -> kept(Options, {list, Name}, {Today, Count, Paused});
        none -> kept(Options, {list, Name}, {Today, Count, false})
    end.

is_paused(#{get := Get}, Name) ->
    case Get({list, Name}) of {_, _, Paused} -> Paused; none -> false end.

%% Hits

event_id(Parts) ->
    <<"list:", (binary:part(sha256(iolist_to_binary(lists:join($\n, Parts))), 0, 40))/binary>>.

listed({Name, Entry, Advice, As, Who}, #{host := Host} = State) ->
    #{get := Get} = Options = options(Host),
    Day = today(),
    case {is_paused(Options, Name), Get({told, Name, Entry, Who})} of
        {true, _} -> State;
        {_, {_, _, Day, none}} -> State;
        {_, Told} ->
            {Since, Time} = case Told of
                                {_, Ms, _, none} -> {Ms, [integer_to_binary(Ms), $:, Day]};
                                _ -> Now = now_ms(), {Now, integer_to_binary(Now)}
                            end,
            kept(Options, {told, Name, Entry, Who}, {As, Since, Day, none}),
            tell(State, #{id => event_id([<<"account.listed">>, Name, Entry, Who, Time]), ts => now_ms(), type => <<"account.listed">>,
                          As => Who, list => Name, entry => Entry, advice => Advice}, none)
    end.

%% An entry that its keeper withdrew: whoever it named is told as named no more.
withdraw(Host, Name, Hash, State) ->
    Entry = case ets:lookup(table(Host), {Hash, Name}) of [{_, Sha, _}] -> Sha; [] -> Hash end,
    ets:delete(table(Host), {Hash, Name}),
    withdraw_told(Host, Name, Entry, State).

withdraw_told(Host, Name, Entry, State) ->
    #{keys := Keys, get := Get} = Options = options(Host),
    lists:foldl(fun({told, _, _, Who} = Key, Acc) ->
                        case Get(Key) of
                            {As, Since, Day, none} ->
                                Now = now_ms(),
                                kept(Options, Key, {As, Since, Day, Now}),
                                Id = event_id([<<"account.unlisted">>, Name, Entry, Who, integer_to_binary(Now)]),
                                tell(Acc, #{id => Id, ts => Now, type => <<"account.unlisted">>, As => Who, list => Name, entry => Entry}, Key);
                            _ -> Acc
                        end
                end, State, [Key || {told, N, E, _} = Key <- Keys(), N =:= Name, E =:= Entry]).

%% To Wavebreak: in order, until it takes them. What is lost in a crash is told anew: an id counts once.

tell(#{queue := Queue} = State, Event, Key) -> send(State#{queue := Queue ++ [{Event, Key}]}).

send(#{queue := []} = State) -> State;
send(#{sending := none, queue := Queue, host := Host} = State) ->
    Lines = [[misc:json_encode(Event), $\n] || {Event, _} <- Queue],
    Self = self(),
    Key = maps:get(key, options(Host)),
    Headers = [{"idempotency-key", binary_to_list(p1_rand:get_string())}],
    spawn(fun() ->
        Self ! {sent, mod_wavebreak_client:request_with(Host, Key, post, "/v1/events", Headers, {"application/x-ndjson", iolist_to_binary(Lines)})}
    end),
    State#{sending := Queue, queue := []};
send(State) -> State.

sent({ok, 202, _, Body}, #{sending := Batch, host := Host} = State) ->
    #{delete := Delete} = options(Host),
    try misc:json_decode(Body) of
        #{<<"refused_total">> := N} when N > 0 ->
            ?ERROR_MSG("Wavebreak refuses what a list says: make `list_key` with the scope list alone, and --allow-identifiers", []);
        _ -> ok
    catch _:_ -> ok
    end,
    [Delete(Key) || {_, Key} <- Batch, Key =/= none],
    send(answered(State#{sending := none, failures := 0}));
sent(Answer, #{sending := Batch, queue := Queue, failures := Failures} = State) ->
    case Answer of
        {ok, Code, _, _} when Code =:= 401; Code =:= 403 ->
            ?ERROR_MSG("Wavebreak refuses the key of the lists (~b): set `list_key` to one with the scope list alone", [Code]);
        _ -> ok
    end,
    erlang:send_after(min(?RETRY_MS bsl min(Failures, 4), 60000), self(), send),
    answered(State#{sending := wait, queue := Batch ++ Queue, failures := Failures + 1}).

answered(#{waiting := Waiting} = State) ->
    [gen_server:reply(From, ok) || From <- Waiting],
    State#{waiting := []}.

%% From the list's service

me(Host) -> jid:make(<<>>, Host, ?RESOURCE).

ask(Host, Service, Type, PubSub, Tag) ->
    Self = self(),
    Query = #iq{type = Type, from = me(Host), to = jid:make(Service), sub_els = [PubSub]},
    ejabberd_router:route_iq(Query, fun(Reply) -> Self ! {reply, Tag, Reply} end, undefined, ?IQ_MS).

later(Name, Ms, #{lists := Lists} = State) ->
    #{timer := Timer} = List = maps:get(Name, Lists),
    [erlang:cancel_timer(Timer) || Timer =/= none],
    State#{lists := Lists#{Name := List#{timer := erlang:send_after(Ms, self(), {fetch, Name})}}}.

changed(Name, Changes, #{lists := Lists} = State) ->
    State#{lists := Lists#{Name := maps:merge(maps:get(Name, Lists), Changes)}}.

failed(Name, What, #{lists := Lists} = State) ->
    #{failures := Failures} = maps:get(Name, Lists),
    [?WARNING_MSG("The list ~ts: ~ts; what is known of it stays", [Name, What]) || Failures =:= 2],
    later(Name, min(?RETRY_MS bsl min(Failures, 10), ?FETCH_MS), changed(Name, #{failures => Failures + 1}, State)).

%% Subscribe, then read the whole node, page by page: what is not there any more has been withdrawn meanwhile.
fetch(Name, #{host := Host, lists := Lists} = State) ->
    #{service := Service, node := Node, turn := Turn} = maps:get(Name, Lists),
    ask(Host, Service, set, #pubsub{subscribe = #ps_subscribe{node = Node, jid = me(Host)}}, {Name, Turn + 1, subscribed}),
    changed(Name, #{turn => Turn + 1}, State).

fetch_page(Name, After, Seen, Page, #{host := Host, lists := Lists}) ->
    #{service := Service, node := Node, turn := Turn} = maps:get(Name, Lists),
    Rsm = case After of undefined -> undefined; _ -> #rsm_set{max = 250, 'after' = After} end,
    ask(Host, Service, get, #pubsub{items = #ps_items{node = Node}, rsm = Rsm}, {Name, Turn, {page, After, Seen, Page}}).

reply({Name, Turn, What}, Reply, #{lists := Lists} = State) ->
    case maps:get(Name, Lists) of
        #{turn := Turn} -> reply(Name, What, Reply, State);
        _ -> State
    end.

reply(Name, subscribed, Reply, State) ->
    Next = changed(Name, #{subscribed => case Reply of #iq{type = result} -> true; _ -> false end}, State),
    fetch_page(Name, undefined, #{}, 1, Next),
    Next;
reply(Name, {page, After, Seen, Page}, #iq{type = result} = Reply, #{host := Host} = State) ->
    try xmpp:get_subtag(xmpp:decode_els(Reply), #pubsub{}) of
        #pubsub{items = #ps_items{items = Items}, rsm = Rsm} ->
            Hashes = [add(Host, Name, Item, State) || Item <- Items],
            Known = maps:merge(Seen, maps:from_list([{Hash, true} || Hash <- Hashes, Hash =/= none])),
            case Rsm of
                #rsm_set{last = Last, count = Count} when is_binary(Last), Last =/= After, Items =/= [], Page < ?PAGES,
                                                         Count =:= undefined orelse Count > map_size(Known) ->
                    fetch_page(Name, Last, Known, Page + 1, State),
                    State;
                _ -> fetched(Name, Known, State)
            end;
        _ -> failed(Name, <<"an answer without items">>, State)
    catch _:_ -> failed(Name, <<"an answer that cannot be read">>, State)
    end;
reply(Name, {page, _, _, _}, _, State) -> failed(Name, <<"no answer, or an error">>, State).

fetched(Name, Seen, #{host := Host, lists := Lists} = State) ->
    #{subscribed := Subscribed} = maps:get(Name, Lists),
    All = ets:match(table(Host), {{'$1', Name}, '$2', '_'}),
    Left = lists:foldl(fun(Hash, Acc) -> withdraw(Host, Name, Hash, Acc) end, State, [Hash || [Hash, _] <- All, not is_map_key(Hash, Seen)]),
    %% Withdrawn while this server was down.
    #{keys := Keys} = options(Host),
    Named = maps:from_list([{Entry, true} || [Hash, Entry] <- All, is_map_key(Hash, Seen)]),
    Gone = lists:usort([Entry || {told, N, Entry, _} <- Keys(), N =:= Name, not is_map_key(Entry, Named)]),
    Next = lists:foldl(fun(Entry, Acc) -> withdraw_told(Host, Name, Entry, Acc) end, Left, Gone),
    watch_growth(Host, Name),
    later(Name, case Subscribed of true -> ?FETCH_MS; false -> ?UNSUBSCRIBED_MS end, changed(Name, #{failures => 0, loaded => true}, Next)).

%% A message of a list's service: an item, a retraction, a purge.
message(#message{from = #jid{luser = <<>>, lserver = Service}} = Pkt, #{lists := Lists} = State) ->
    Ours = [{Name, Node} || {Name, #{service := S, node := Node}} <- maps:to_list(Lists), S =:= Service],
    try xmpp:get_subtag(xmpp:decode_els(Pkt), #ps_event{}) of
        #ps_event{} = Event -> lists:foldl(fun({Name, Node}, Acc) -> part(Name, Node, Event, Acc) end, State, Ours);
        _ -> State
    catch _:_ -> State
    end;
message(_, State) -> State.

part(Name, Node, #ps_event{purge = Node}, #{host := Host} = State) ->
    Hashes = [Hash || [Hash] <- ets:match(table(Host), {{'$1', Name}, '_', '_'})],
    lists:foldl(fun(Hash, Acc) -> withdraw(Host, Name, Hash, Acc) end, State, Hashes);
part(Name, Node, #ps_event{items = #ps_items{node = Node, items = Items, retract = Retract}}, #{host := Host, lists := Lists} = State) ->
    [add(Host, Name, Item, State) || Item <- Items],
    [watch_growth(Host, Name) || Items =/= [], maps:get(loaded, maps:get(Name, Lists))],
    case is_binary(Retract) andalso read(Retract) of
        {Hash, _} -> withdraw(Host, Name, Hash, State);
        _ -> State
    end;
part(_, _, _, State) -> State.

%% What Wavebreak convicted, as a list of this server's.

publish(#{host := Host, etag := Etag} = State) ->
    #{key := Key} = options(Host),
    Self = self(),
    Headers = [{"if-none-match", Etag} || Etag =/= none],
    spawn(fun() -> Self ! {convicted, mod_wavebreak_client:request_with(Host, Key, get, "/v1/lists/convicted", Headers, none)} end),
    State.

convicted({ok, 200, Headers, Body}, #{host := Host} = State) ->
    {Service, Node} = place(maps:get(publish, options(Host))),
    try misc:json_decode(Body) of
        #{<<"items">> := Items} ->
            Wanted = maps:from_list([{str:to_lower(Hash), true} || #{<<"hash">> := Hash} <- Items]),
            Owner = jid:make(Host),
            _ = mod_pubsub:create_node(Service, Host, Node, Owner, <<"flat">>, all,
                                       [{access_model, open}, {publish_model, publishers}, {persist_items, true}, {max_items, 100000}]),
            There = [Id || {pubsub_item, {Id, _}, _, _, _, _} <- mod_pubsub:get_items(Service, Node)],
            [mod_pubsub:publish_item(Service, Host, Node, Owner, Hash, [report()]) || Hash <- maps:keys(Wanted), not lists:member(Hash, There)],
            [mod_pubsub:delete_item(Service, Node, Owner, Hash, true) || Hash <- There, not is_map_key(Hash, Wanted)],
            State#{published := Wanted, etag := proplists:get_value("etag", Headers, none)};
        _ -> State
    catch Class:Reason ->
        ?ERROR_MSG("The convictions cannot be published at ~ts: ~p:~p; load mod_pubsub with that host", [Service, Class, Reason]),
        State
    end;
%% Where it cannot be asked, what is published stays.
convicted(_, State) -> State.

report() ->
    Said = #xmlel{name = <<"recommendations">>, children = [#xmlel{name = <<"block-strangers">>}]},
    #xmlel{name = <<"report">>, attrs = [{<<"xmlns">>, ?REPORTING}, {<<"reason">>, <<"urn:xmpp:reporting:spam">>}],
           children = [#xmlel{name = <<"meta">>, attrs = [{<<"xmlns">>, ?META}], children = [Said]}]}.

handle_call({hits, Hits}, From, #{waiting := Waiting} = State) ->
    case lists:foldl(fun listed/2, State, Hits) of
        #{sending := none} = Next -> {reply, ok, Next};
        #{sending := wait} = Next -> {reply, ok, Next};
        Next -> {noreply, Next#{waiting := [From | Waiting]}}
    end;
handle_call(lines, _From, #{host := Host, lists := Lists} = State) ->
    #{keys := Keys} = Options = options(Host),
    Told = Keys(),
    {reply, [lists:flatten(io_lib:format("List ~ts: ~b entries, ~b hits told~ts~ts", [
        Name, size(Host, Name), length([x || {told, N, _, _} <- Told, N =:= Name]),
        case Subscribed of true -> ""; false -> ", not subscribed" end,
        case is_paused(Options, Name) of true -> ", paused: it grew too fast"; false -> "" end]))
             || {Name, #{subscribed := Subscribed}} <- lists:sort(maps:to_list(Lists))], State};
handle_call({resume, Name}, _From, #{host := Host, lists := Lists} = State) ->
    case is_map_key(Name, Lists) of
        true ->
            kept(options(Host), {list, Name}, {today(), size(Host, Name), false}),
            {reply, true, State};
        false -> {reply, false, State}
    end;
handle_call(_, _From, State) -> {reply, unknown, State}.

handle_cast({heard, Pkt}, State) -> {noreply, message(Pkt, State)};
%% A connection to the service that ended may have lost what it had to say.
handle_cast({gap, Domain}, #{lists := Lists} = State) ->
    Lost = [Name || {Name, #{service := Service, loaded := true}} <- maps:to_list(Lists), Service =:= Domain],
    {noreply, lists:foldl(fun(Name, Acc) -> later(Name, ?RETRY_MS, Acc) end, State, Lost)};
handle_cast(_, State) -> {noreply, State}.

handle_info(start, State) ->
    %% Before ejabberd has its certificates no other server believes it, and then none is asked for half a minute.
    case lists:keymember(ejabberd, 1, application:which_applications()) of
        true -> {noreply, start(State)};
        false ->
            erlang:send_after(200, self(), start),
            {noreply, State}
    end;
handle_info({fetch, Name}, State) -> {noreply, fetch(Name, State)};
handle_info({reply, Tag, Reply}, State) -> {noreply, reply(Tag, Reply, State)};
handle_info(send, State) -> {noreply, send(State#{sending := none})};
handle_info({sent, Answer}, State) -> {noreply, sent(Answer, State)};
handle_info(publish, State) -> {noreply, publish(State)};
handle_info({convicted, Answer}, State) ->
    erlang:send_after(?PUBLISH_MS, self(), publish),
    {noreply, convicted(Answer, State)};
handle_info(_, State) -> {noreply, State}.

terminate(_, _) -> ok.

code_change(_, State, _) -> {ok, State}.
