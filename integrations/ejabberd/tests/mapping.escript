#!/usr/bin/env escript
%%! -kernel logger_level error
%% Runs the cases of a golden file and a list of elements through the mapping, with ejabberd's own libraries;
%% prints what differs. Arguments: the directory of the compiled module, the two files.

main([Beams, Golden, Elements]) ->
    true = code:add_patha(Beams),
    {ok, _} = application:ensure_all_started(stringprep),
    {ok, _} = application:ensure_all_started(fast_xml),
    ok = jid:start(),
    Cases = lines(Golden),
    Wrong = lists:sum([run(Case) || Case <- Cases]),
    io:format("~b cases, ~b steps differ~n", [length(Cases), Wrong]),
    Rows = lines(Elements),
    Differ = lists:sum([element(Row) || Row <- Rows]) + harmless(Rows),
    io:format("~b elements, ~b differ~n", [length(Rows), Differ]),
    halt(case {Wrong, Differ} of {0, 0} -> 0; _ -> 1 end).

lines(File) ->
    {ok, Text} = file:read_file(File),
    [misc:json_decode(Line) || Line <- binary:split(Text, <<"\n">>, [global, trim])].

element(#{<<"stanza">> := Stanza, <<"xml">> := Xml, <<"harmless">> := Harmless}) ->
    Type = case Stanza of <<"iq">> -> <<" type='set'">>; _ -> <<>> end,
    El = fxml_stream:parse_element(<<"<", Stanza/binary, " xmlns='jabber:client'", Type/binary, ">", Xml/binary, "</", Stanza/binary, ">">>),
    case mod_wavebreak_mapping:is_visible(El) of
        Harmless ->
            io:format("~ts is harmless: ~p~n", [Xml, Harmless]),
            1;
        _ -> 0
    end.

harmless(Rows) ->
    Wanted = lists:usort([<<S/binary, $\s, NS/binary, $\s, Name/binary>>
                          || #{<<"harmless">> := true, <<"stanza">> := S, <<"ns">> := NS, <<"name">> := Name} <- Rows]),
    case mod_wavebreak_mapping:harmless() of
        Wanted -> 0;
        Found ->
            io:format("harmless:~n  wanted ~p~n  found  ~p~n", [Wanted, Found]),
            1
    end.

run(#{<<"name">> := Name, <<"steps">> := Steps} = Case) ->
    ets:new(scene, [named_table]),
    [ets:insert(scene, Value) || Value <- [{n, 0}, {now, 0}, {rosters, maps:get(<<"rosters">>, Case, #{})},
                                          {pending, maps:get(<<"pending">>, Case, #{})}, {blocked, []}]],
    Wrong = lists:sum([step(Name, Number, Step) || {Number, Step} <- lists:enumerate(Steps)]),
    ets:delete(scene),
    Wrong.

scene(Key) -> ets:lookup_element(scene, Key, 2).

context() ->
    #{new_id => fun() -> <<"e", (integer_to_binary(ets:update_counter(scene, n, 1)))/binary>> end,
      now_ms => fun() -> scene(now) end,
      item => fun(Owner, JID) ->
                      case maps:get(JID, maps:get(Owner, scene(rosters), #{}), none) of
                          none -> none;
                          #{<<"subscription">> := Subscription} = Item ->
                              {binary_to_atom(Subscription), case Item of #{<<"ask">> := _} -> out; _ -> none end}
                      end
              end,
      pending_in => fun(Owner, JID) -> lists:member(JID, maps:get(Owner, scene(pending), [])) end,
      user_exists => fun(JID) -> lists:member(JID, [<<"ann@example.org">>, <<"ben@example.org">>, <<"cid@example.org">>]) end,
      is_local => fun(Host) -> Host =:= <<"example.org">> end,
      is_room_host => fun(Host) -> Host =:= <<"rooms.example.org">> end,
      occupant => fun(JID) -> case JID of <<"r@rooms.example.org/ben">> -> <<"ben@example.org">>; _ -> none end end,
      pseudonym => fun(JID) -> <<"occupant:", (integer_to_binary(byte_size(JID)))/binary>> end,
      blocklist => fun(_) -> scene(blocked) end,
      get => fun(Table, Key) -> case ets:lookup(scene, {Table, Key}) of [{_, Value}] -> {ok, Value}; [] -> none end end,
      put => fun(Table, Key, Value) -> ets:insert(scene, {{Table, Key}, Value}) end}.

step(Name, Number, #{<<"hook">> := Hook, <<"events">> := Wanted, <<"opens">> := Opens} = Step) ->
    [ets:insert(scene, {Key, maps:get(Field, Step)})
     || {Field, Key} <- [{<<"at_ms">>, now}, {<<"pending">>, pending}, {<<"blocked">>, blocked}], is_map_key(Field, Step)],
    El = case Step of
             #{<<"stanza">> := <<>>} -> none;
             #{<<"stanza">> := Xml} -> fxml_stream:parse_element(Xml)
         end,
    Ctx = context(),
    Acts = hook(Hook, Ctx, El, Step),
    [mod_wavebreak_mapping:done(Ctx, Act) || Act <- Acts],
    Events = [misc:json_decode(misc:json_encode(maps:remove(ts, Event))) || #{event := Event} <- Acts],
    Opened = [Place || {Place, #{opens := true}} <- lists:enumerate(0, Acts)],
    Canary = binary:match(misc:json_encode(Events), <<"CANARY">>),
    case {Events, Opened, Canary} of
        {Wanted, Opens, nomatch} -> 0;
        _ ->
            io:format("~ts, step ~b:~n  wanted ~p ~p~n  found  ~p ~p~n", [Name, Number, Wanted, Opens, Events, Opened]),
            1
    end.

newcomer(#{<<"joined_s">> := JoinedS, <<"others">> := Others}) -> {JoinedS, maps:to_list(Others)};
newcomer(_) -> none.

hook(Hook, Ctx, El, #{<<"from">> := From} = Step) ->
    Origin = maps:get(<<"origin">>, Step, undefined),
    Room = maps:get(<<"room">>, Step, undefined),
    IP = maps:get(<<"ip">>, Step, undefined),
    M = mod_wavebreak_mapping,
    case Hook of
        <<"message">> -> M:message(Ctx, El, From, Origin);
        <<"iq">> -> M:iq(Ctx, El, From, Origin);
        <<"presence">> -> M:presence(Ctx, El, From, Origin);
        <<"roster">> -> M:roster(Ctx, El, From);
        <<"blocking">> -> M:blocking(Ctx, El, From);
        <<"bounce">> -> M:bounce(Ctx, El);
        <<"archive">> -> M:archive(Ctx, El, From, maps:get(<<"archive_id">>, Step)), [];
        <<"registered">> -> [M:registered(Ctx, From, IP)];
        <<"session">> -> [M:session(Ctx, From, IP)];
        <<"deleted">> -> [M:deleted(Ctx, From)];
        <<"room_created">> -> [M:room_created(Ctx, From, Room, Origin)];
        <<"room_joined">> -> M:room_joined(Ctx, From, Room, Origin);
        <<"room_left">> -> [M:room_left(Ctx, From, Room, Origin)];
        <<"room_invitations">> -> M:room_invitations(Ctx, El, From, Room, Origin);
        <<"room_message">> -> M:room_message(Ctx, El, From, Room, maps:get(<<"recipients">>, Step), Origin, fun() -> newcomer(Step) end);
        <<"room_private">> -> M:room_private(Ctx, El, From, maps:get(<<"peer">>, Step), Origin)
    end.
