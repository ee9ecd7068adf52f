#!/usr/bin/env escript
%%! -kernel logger_level none
%% Cases of an outside list's growth, with ejabberd's own libraries; prints the cases that fail.
%% Argument: the directory of the compiled module.

-define(LISTS, mod_wavebreak_lists).
-define(HOST, <<"example.org">>).
-define(LIST, {list, <<"bl">>}).

main([Beams]) ->
    true = code:add_patha(Beams),
    {ok, _} = application:ensure_all_started(stringprep),
    {ok, _} = application:ensure_all_started(fast_xml),
    ok = jid:start(),
    {ok, _} = application:ensure_all_started(xmpp),
    ets:new(wavebreak_lists_table(), [named_table]),
    ets:new(kept, [named_table]),
    ?LISTS:reload(?HOST, #{own => fun() -> [] end, keys => fun() -> [] end,
                           get => fun(Key) -> kept(Key) end,
                           put => fun(Key, Value) -> ets:insert(kept, {Key, Value}) end}),
    Yesterday = day(-86400),
    Today = day(0),
    Cases = [
        {"growth at midnight pauses", {Yesterday, 100, false}, 140, {Yesterday, 100, true}},
        {"growth within the day pauses", {Today, 100, false}, 140, {Today, 100, true}},
        {"small growth begins a new day", {Yesterday, 100, false}, 110, {Today, 110, false}},
        {"small growth within the day keeps the base", {Today, 100, false}, 110, {Today, 100, false}},
        {"a first reading is the base", none, 140, {Today, 140, false}},
        {"a new day does not resume", {Yesterday, 100, true}, 110, {Today, 110, true}}
    ],
    Failed = [{Name, Result} || {Name, Before, Size, After} <- Cases, (Result = grown(Before, Size)) =/= After],
    [io:format("~ts: ~p~n", [Name, Result]) || {Name, Result} <- Failed],
    io:format("~b cases, ~b fail~n", [length(Cases), length(Failed)]),
    halt(case Failed of [] -> 0; _ -> 1 end).

wavebreak_lists_table() -> binary_to_atom(<<"wavebreak_lists_", ?HOST/binary>>).

day(Seconds) ->
    {{Year, Month, Day}, _} = calendar:system_time_to_universal_time(erlang:system_time(second) + Seconds, second),
    iolist_to_binary(io_lib:format("~4..0b-~2..0b-~2..0b", [Year, Month, Day])).

%% What is kept of a list after its service has sent it as many items.
grown(Before, Size) ->
    ets:delete_all_objects(kept),
    ets:delete_all_objects(wavebreak_lists_table()),
    [ets:insert(kept, {?LIST, Before}) || Before =/= none],
    Items = [["<item id='n", integer_to_list(N), "@spam.example'/>"] || N <- lists:seq(1, Size)],
    Xml = ["<message xmlns='jabber:client' from='bl.example'><event xmlns='http://jabber.org/protocol/pubsub#event'>",
           "<items node='n'>", Items, "</items></event></message>"],
    Message = xmpp:decode(fxml_stream:parse_element(iolist_to_binary(Xml))),
    State = #{host => ?HOST, published => #{}, lists => #{<<"bl">> => #{service => <<"bl.example">>, node => <<"n">>, loaded => true}}},
    {noreply, _} = ?LISTS:handle_cast({heard, Message}, State),
    kept(?LIST).

kept(Key) ->
    case ets:lookup(kept, Key) of [{_, Value}] -> Value; [] -> none end.
