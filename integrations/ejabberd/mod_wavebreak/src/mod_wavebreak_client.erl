%%% The connection to Wavebreak: events in batches from a spool, questions with a time limit, and the
%%% enforcement states as a cache.
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

-module(mod_wavebreak_client).
-behaviour(gen_server).

-export([tell/2, decide/3, state/2, needs_asking/3, refused_by_state/3, count/2, measured/3, status/1]).
-export([now_ms/1, reload/2, request_with/6]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, code_change/3]).

-include("logger.hrl").

-define(BATCH_MS, 200).
-define(BATCH_EVENTS, 1000).
-define(MAX_IN_MEMORY, 10000).
-define(SEND_TIMEOUT_MS, 20000).
-define(BACKOFF_MIN_MS, 200).
-define(BACKOFF_MAX_MS, 30000).
-define(BREAKER_FAILURES, 3).
-define(BREAKER_MS, 2000).
-define(STALE_MS, 60000).
-define(QUIET_MS, 45000).
-define(POLL_MS, 5000).
-define(SKEW_CORRECTED_S, 5).
-define(SKEW_ALARM_S, 30).
-define(TIMES, 1000).

%% What hooks read without asking the process: persistent_term {mod_wavebreak, Host}.
%% numbers: 1 failures, 2 open until, 3 probing, 4 skew in s, 5 states heard at, 6 states loaded,
%% then the counters below.
-define(FAILURES, 1).
-define(OPEN_UNTIL, 2).
-define(PROBING, 3).
-define(SKEW, 4).
-define(HEARD, 5).
-define(LOADED, 6).
-define(COUNTERS, #{told => 7, sent => 8, asked => 9, refused => 10, no_answer => 11, dropped => 12, rejected => 13, late => 14}).
-define(NUMBERS, 14).

%% `Options`: url, key, timeout, max_spooled, directory, on_state (fun/1), on_states_loaded (fun/0).
setup(Host, Options) ->
    Shared = #{host => Host, options => Options, proc => gen_mod:get_module_proc(Host, ?MODULE),
               numbers => atomics:new(?NUMBERS, [{signed, true}]),
               states => ets:new(?MODULE, [public, {read_concurrency, true}]),
               times => ets:new(?MODULE, [public, {write_concurrency, true}])},
    persistent_term:put({mod_wavebreak, Host}, Shared),
    Shared.

shared(Host) -> persistent_term:get({mod_wavebreak, Host}).

reload(Host, Options) ->
    Shared = shared(Host),
    persistent_term:put({mod_wavebreak, Host}, Shared#{options := Options}),
    gen_server:cast(maps:get(proc, Shared), {options, Options}).

clock() -> erlang:system_time(millisecond).

now_ms(Host) ->
    #{numbers := Numbers} = shared(Host),
    clock() + atomics:get(Numbers, ?SKEW) * 1000.

count(Host, Counter) ->
    #{numbers := Numbers} = shared(Host),
    atomics:add(Numbers, maps:get(Counter, ?COUNTERS), 1).

%% The process encodes and writes: a stanza waits for neither.
tell(Host, Event) -> gen_server:cast(maps:get(proc, shared(Host)), {tell, Event}).

%% Questions: {ok, Answer} or {error, breaker | no_answer | key}. The caller waits.

decide(Host, Events, Mode) ->
    #{numbers := Numbers, options := #{timeout := Timeout}} = Shared = shared(Host),
    case breaker_open(Numbers) of
        true ->
            count(Host, no_answer),
            {error, breaker};
        false ->
            count(Host, asked),
            Body = misc:json_encode(case Events of [Event] -> Event; _ -> Events end),
            Path = ["/v1/decide?mode=", Mode],
            answered(Host, Numbers, bounded(fun() -> request(Shared, post, Path, [], {"application/json", Body}, Timeout) end, Timeout))
    end.

%% httpc's own time limit does not cover connecting: a process that is ended does.
bounded(Work, Timeout) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({done, Work()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {done, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, Reason} -> {error, Reason}
    after Timeout ->
        erlang:demonitor(Monitor, [flush]),
        exit(Pid, kill),
        {error, timeout}
    end.

answered(Host, Numbers, {ok, 200, _, Body}) ->
    try misc:json_decode(Body) of
        #{<<"allowed">> := Allowed} = Answer when is_boolean(Allowed) ->
            breaker_heard(Numbers, true, none),
            {ok, Answer};
        _ -> unanswered(Host, Numbers, false, none)
    catch _:_ -> unanswered(Host, Numbers, false, none)
    end;
answered(Host, Numbers, {ok, Code, _, Body}) when Code =:= 401; Code =:= 403 ->
    key_refused(Host, Code, Body),
    breaker_heard(Numbers, true, none),
    count(Host, no_answer),
    {error, key};
answered(Host, Numbers, {ok, Code, Headers, _}) ->
    Wrong = Code >= 400 andalso Code < 500 andalso Code =/= 429,
    [say(decide, error, "Wavebreak cannot answer a question of ~ts (~b)", [Host, Code]) || Wrong],
    unanswered(Host, Numbers, Wrong, retry_after(Headers));
answered(Host, Numbers, {error, _}) -> unanswered(Host, Numbers, false, none).

%% Wavebreak's refusals are JSON objects; a page is another service's, or a proxy's.
is_foreign(Code, Body) ->
    Code >= 400 andalso Code < 500 andalso re:run(Body, "^\\s*{", [{capture, none}]) =:= nomatch.

key_refused(Host, Code, Body) ->
    case is_foreign(Code, Body) of
        true -> foreign(Host, Code);
        false -> say(key, error, "Wavebreak refuses the key of ~ts (~b): set `key` to one with the scopes ingest, decide and read. "
                     "Nothing is closed meanwhile", [Host, Code])
    end.

foreign(Host, Code) ->
    #{options := #{url := Url}} = shared(Host),
    say(service, error, "What answers at ~ts is no Wavebreak (~b): set `url` to Wavebreak's own address", [Url, Code]).

unanswered(Host, Numbers, Heard, RetryAfter) ->
    breaker_heard(Numbers, Heard, RetryAfter),
    count(Host, no_answer),
    {error, no_answer}.

breaker_open(Numbers) ->
    case atomics:get(Numbers, ?FAILURES) >= ?BREAKER_FAILURES of
        false -> false;
        true ->
            %% One probe at a time, once the time is over.
            clock() < atomics:get(Numbers, ?OPEN_UNTIL) orelse atomics:compare_exchange(Numbers, ?PROBING, 0, 1) =/= ok
    end.

breaker_heard(Numbers, true, _) ->
    atomics:put(Numbers, ?PROBING, 0),
    atomics:put(Numbers, ?FAILURES, 0);
breaker_heard(Numbers, false, RetryAfter) ->
    atomics:put(Numbers, ?PROBING, 0),
    [atomics:put(Numbers, ?FAILURES, ?BREAKER_FAILURES) || RetryAfter =/= none],
    case atomics:add_get(Numbers, ?FAILURES, 1) of
        Failures when Failures >= ?BREAKER_FAILURES ->
            Pause = case RetryAfter of none -> ?BREAKER_MS; Ms -> min(Ms, 30000) end,
            atomics:put(Numbers, ?OPEN_UNTIL, clock() + Pause);
        _ -> ok
    end.

%% Enforcement states

state(Host, Account) ->
    #{states := States} = shared(Host),
    case ets:lookup(States, Account) of
        [] -> {allow, none};
        [{_, _, #{until_ms := Until} = State}] when is_integer(Until) ->
            case Until =< now_ms(Host) of
                true -> {allow, State};
                false -> {maps:get(outcome, State), State}
            end;
        [{_, _, State}] -> {maps:get(outcome, State), State}
    end.

stale(Host) ->
    #{numbers := Numbers} = shared(Host),
    atomics:get(Numbers, ?LOADED) =:= 0 orelse clock() - atomics:get(Numbers, ?HEARD) > ?STALE_MS.

needs_asking(Host, Account, Opens) ->
    {Outcome, _} = state(Host, Account),
    case Outcome of
        _ when Outcome =:= suspend; Outcome =:= ban -> stale(Host);
        _ -> Opens orelse not lists:member(Outcome, [allow, observe, request])
    end.

%% What the cache alone says: the state that refuses the act, or none.
refused_by_state(Host, Account, Opens) ->
    case state(Host, Account) of
        {Outcome, State} when Outcome =:= suspend; Outcome =:= ban -> State;
        {restrict, State} when Opens -> State;
        _ -> none
    end.

%% Times, of the last thousand of each kind

measured(Host, Kind, Microseconds) ->
    #{times := Times} = shared(Host),
    N = ets:update_counter(Times, {Kind, n}, 1, {{Kind, n}, 0}),
    ets:insert(Times, {{Kind, N rem ?TIMES}, Microseconds}).

percentiles(Times, Kind) ->
    case ets:lookup(Times, {Kind, n}) of
        [] -> none;
        [{_, N}] ->
            Sorted = lists:sort([Us || [Us, Slot] <- ets:match(Times, {{Kind, '$2'}, '$1'}), is_integer(Slot)]),
            At = fun(Share) -> lists:nth(max(1, ceil(Share * length(Sorted))), Sorted) / 1000 end,
            #{n => N, p50 => At(0.5), p99 => At(0.99)}
    end.

status(Host) ->
    #{numbers := Numbers, times := Times, options := #{url := Url}, proc := Proc} = shared(Host),
    {Held, Streaming} = gen_server:call(Proc, status),
    Counters = maps:map(fun(_, Place) -> atomics:get(Numbers, Place) end, ?COUNTERS),
    States = case {stale(Host), Streaming} of {true, _} -> old; {_, true} -> streamed; _ -> polled end,
    Counters#{url => Url, held => Held, states => States, skew_s => atomics:get(Numbers, ?SKEW),
              times => maps:from_list([{Kind, P} || Kind <- [told, asked], (P = percentiles(Times, Kind)) =/= none])}.

%% Once a minute at most for each subject: an outage must not fill the log.
say(Subject, Level, Format, Arguments) ->
    Key = {mod_wavebreak_said, Subject}, Now = erlang:monotonic_time(second),
    case persistent_term:get(Key, none) of
        Last when is_integer(Last), Now - Last < 60 -> ok;
        _ ->
            persistent_term:put(Key, Now),
            case Level of
                error -> ?ERROR_MSG(Format, Arguments);
                warning -> ?WARNING_MSG(Format, Arguments);
                info -> ?INFO_MSG(Format, Arguments)
            end
    end.

%% Requests

tls("https" ++ _) ->
    %% ejabberd's own option names the CAs: the system's, where nobody changed it.
    [{ssl, [{verify, verify_peer}, {depth, 10}, {cacertfile, binary_to_list(ejabberd_option:ca_file())},
            {customize_hostname_check, [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}]}];
tls(_) -> [].

authorization(#{options := #{key := Key}}, More) ->
    [{"authorization", "Bearer " ++ binary_to_list(Key)}, {"accept", "application/json"} | More].

url(#{options := #{url := Url}}, Path) -> lists:flatten([binary_to_list(Url), Path]).

%% With a key of its own.
request_with(Host, Key, Method, Path, Headers, Body) ->
    #{options := Options} = Shared = shared(Host),
    request(Shared#{options := Options#{key := Key}}, Method, Path, Headers, Body, ?SEND_TIMEOUT_MS).

request(#{host := Host} = Shared, Method, Path, Headers, Body, Timeout) ->
    Url = url(Shared, Path),
    Named = authorization(Shared, Headers),
    Request = case Body of none -> {Url, Named}; {Type, Data} -> {Url, Named, Type, Data} end,
    Options = [{timeout, Timeout}, {connect_timeout, Timeout}, {autoredirect, false} | tls(Url)],
    case httpc:request(Method, Request, Options, [{body_format, binary}], mod_wavebreak) of
        {ok, {{_, Code, _}, Answered, Data1}} ->
            check_clock(Host, Answered),
            {ok, Code, Answered, Data1};
        {error, Reason} -> {error, Reason}
    end.

retry_after(Headers) ->
    case string:to_integer(proplists:get_value("retry-after", Headers, "")) of
        {Seconds, _} when is_integer(Seconds) -> Seconds * 1000;
        _ -> none
    end.

check_clock(Host, Headers) ->
    try calendar:datetime_to_gregorian_seconds(httpd_util:convert_request_date(proplists:get_value("date", Headers))) of
        Gregorian ->
            Skew = Gregorian - 62167219200 - erlang:system_time(second),
            #{numbers := Numbers} = shared(Host),
            atomics:put(Numbers, ?SKEW, case abs(Skew) >= ?SKEW_CORRECTED_S of true -> Skew; false -> 0 end),
            [say(clock, error, "This machine's clock is ~b s off Wavebreak's; events are dated by Wavebreak's. "
                 "Set both clocks by NTP", [Skew]) || abs(Skew) >= ?SKEW_ALARM_S]
    catch _:_ -> ok
    end.

%% The process: spool and stream

init([Host, Options]) ->
    process_flag(trap_exit, true),
    Shared = setup(Host, Options),
    _ = inets:start(httpc, [{profile, mod_wavebreak}]),
    _ = inets:start(httpc, [{profile, mod_wavebreak_stream}]),
    ok = httpc:set_options([{max_sessions, 16}, {max_keep_alive_length, 0}, {max_pipeline_length, 0}], mod_wavebreak),
    Directory = maps:get(directory, Options),
    ok = filelib:ensure_path(Directory),
    Pending = recover(Directory),
    Prefix = io_lib:format("~13.16.0b-~8.16.0b", [clock(), rand:uniform(16#ffffffff)]),
    State = open_batch(#{host => Host, shared => Shared, directory => Directory, prefix => lists:flatten(Prefix), sequence => 0,
                         pending => Pending, in_flight => none, failures => 0, timer => none, current => none,
                         number => 0, stream => none, buffer => <<>>, streaming => false, stream_failures => 0}),
    Held = held(State),
    #{numbers := Numbers} = Shared,
    atomics:put(Numbers, maps:get(told, ?COUNTERS), Held),
    [self() ! send || Held > 0],
    self() ! follow,
    self() ! declare,
    erlang:send_after(5000, self(), watch),
    {ok, State}.

%% One file a batch; the name is its Idempotency-Key, so that a batch sent twice counts once.
recover(Directory) ->
    Files = lists:sort(filelib:wildcard("*.jsonl", Directory)),
    lists:filtermap(fun(Name) ->
                            Path = filename:join(Directory, Name),
                            case file:read_file(Path) of
                                {ok, Text} when Text =/= <<>> ->
                                    {true, #{path => Path, key => filename:basename(Name, ".jsonl"), on_disk => true,
                                             held => length(binary:matches(Text, <<"\n">>))}};
                                _ ->
                                    _ = file:delete(Path),
                                    false
                            end
                    end, Files).

open_batch(#{directory := Directory, prefix := Prefix, sequence := Sequence} = State) ->
    Key = lists:flatten(io_lib:format("~s-~8..0b", [Prefix, Sequence + 1])),
    Path = filename:join(Directory, Key ++ ".jsonl"),
    File = case file:open(Path, [append, raw, binary]) of
               {ok, Opened} -> Opened;
               {error, Reason} -> spool_failed(none, Reason)
           end,
    State#{sequence := Sequence + 1, current := #{path => Path, key => Key, held => 0, file => File, on_disk => false, memory => []}}.

%% A full disk: the batch goes on in memory. Its file takes nothing more, so that no line of it is half.
spool_failed(File, Reason) ->
    [file:close(File) || File =/= none],
    say(spool, error, "The spool cannot be written: ~p. Events are held in memory, ~b at most, and a crash would lose them. Free the disk",
        [Reason, ?MAX_IN_MEMORY]),
    none.

in_memory(#{pending := Pending, current := Current}) ->
    lists:sum([length(maps:get(memory, Batch, [])) || Batch <- [Current | Pending]]).

close_batch(#{current := #{file := File, held := Held, path := Path} = Batch, pending := Pending} = State) ->
    [file:close(File) || File =/= none],
    case Held of
        0 ->
            _ = file:delete(Path),
            State#{current := none};
        _ -> State#{current := none, pending := Pending ++ [maps:remove(file, Batch)]}
    end.

held(#{pending := Pending, current := Current}) ->
    lists:sum([Held || #{held := Held} <- [Current | Pending]]).

keep(Line, #{current := #{file := File, held := Held} = Batch, shared := #{options := #{max_spooled := Most}}, host := Host} = State) ->
    count(Host, told),
    #{shared := #{numbers := Numbers}} = State,
    Number = fun(Name) -> atomics:get(Numbers, maps:get(Name, ?COUNTERS)) end,
    Full = Number(told) - Number(sent) - Number(dropped) > Most orelse File =:= none andalso in_memory(State) >= ?MAX_IN_MEMORY,
    case Full of
        true ->
            count(Host, dropped),
            say(full, error, "The spool of ~ts is full, new events are dropped. Is Wavebreak running, and is there room on the disk?", [Host]),
            State;
        false ->
            Kept = written(Line, Batch#{held := Held + 1}),
            case Held + 1 >= ?BATCH_EVENTS of
                true -> open_batch(close_batch(State#{current := Kept}));
                false -> State#{current := Kept}
            end
    end.

written(Line, #{file := none, memory := Memory} = Batch) -> Batch#{memory := [Line | Memory]};
written(Line, #{file := File} = Batch) ->
    case file:write(File, Line) of
        ok -> Batch#{on_disk := true};
        {error, Reason} -> written(Line, Batch#{file := spool_failed(File, Reason)})
    end.

schedule(Ms, #{timer := none, in_flight := none} = State) -> State#{timer := erlang:send_after(round(Ms), self(), send)};
schedule(_, State) -> State.

send(#{in_flight := none, pending := [], current := #{held := Held}} = State) when Held > 0 ->
    send(open_batch(close_batch(State)));
send(#{in_flight := none, pending := [#{path := Path, key := Key, on_disk := OnDisk} = Batch | _], shared := Shared} = State) ->
    Lines = case OnDisk of true -> whole_lines(Path); false -> <<>> end,
    case iolist_to_binary([Lines | lists:reverse(maps:get(memory, Batch, []))]) of
        <<>> -> taken(Batch, State);
        Body ->
            Self = self(),
            Headers = [{"idempotency-key", Key}],
            {Pid, Monitor} = spawn_monitor(fun() ->
                Self ! {sent, self(), request(Shared, post, "/v1/events", Headers, {"application/x-ndjson", Body}, ?SEND_TIMEOUT_MS)}
            end),
            State#{in_flight := {Pid, Monitor, Batch}}
    end;
send(State) -> State.

%% A killed process may have left half a line.
whole_lines(Path) ->
    case file:read_file(Path) of
        {ok, Text} ->
            case binary:matches(Text, <<"\n">>) of
                [] -> <<>>;
                Found ->
                    {Last, _} = lists:last(Found),
                    binary:part(Text, 0, Last + 1)
            end;
        {error, _} -> <<>>
    end.

taken(#{path := Path, held := Held}, #{pending := [_ | Pending], shared := #{numbers := Numbers}} = State) ->
    _ = file:delete(Path),
    atomics:add(Numbers, maps:get(sent, ?COUNTERS), Held),
    Next = State#{pending := Pending, failures := 0},
    case {Pending, Next} of
        {[_ | _], _} -> send(Next);
        {[], #{current := #{held := Current}}} when Current > 0 -> schedule(?BATCH_MS, Next);
        _ -> Next
    end.

result(Batch, {ok, 202, _, Body}, #{host := Host, shared := #{numbers := Numbers}} = State) ->
    try misc:json_decode(Body) of
        Answer ->
            Rejected = maps:get(<<"refused_total">>, Answer, length(maps:get(<<"refused">>, Answer, []))),
            atomics:add(Numbers, maps:get(rejected, ?COUNTERS), Rejected),
            atomics:add(Numbers, maps:get(late, ?COUNTERS), maps:get(<<"late">>, Answer, 0)),
            [say(rejected, error, "Wavebreak refuses ~b events of ~ts as wrong: ~0p", [Rejected, Host, hd(maps:get(<<"refused">>, Answer, [none]) ++ [none])])
             || Rejected > 0]
    catch _:_ -> ok
    end,
    taken(Batch, State);
result(#{held := Held} = Batch, {ok, Code, Headers, Body}, #{host := Host, shared := #{numbers := Numbers}} = State) ->
    Foreign = is_foreign(Code, Body),
    case Foreign orelse lists:member(Code, [401, 403, 404, 408, 429]) orelse Code >= 500 of
        true ->
            if
                Foreign -> foreign(Host, Code);
                Code =:= 401; Code =:= 403 -> key_refused(Host, Code, Body);
                true -> say(events, warning, "Wavebreak takes no events (~b); ~b are held and sent later", [Code, held(State)])
            end,
            again(retry_after(Headers), State);
        false ->
            say(batch, error, "Wavebreak refuses a batch of ~b events with ~b, it is dropped: ~ts", [Held, Code, binary:part(Body, 0, min(300, byte_size(Body)))]),
            atomics:add(Numbers, maps:get(dropped, ?COUNTERS), Held),
            taken(Batch#{held := 0}, State)
    end;
result(_, {error, Reason}, State) ->
    say(events, warning, "Wavebreak takes no events (~0p); ~b are held and sent later", [Reason, held(State)]),
    again(none, State).

backoff(Failures) ->
    max(?BACKOFF_MIN_MS, rand:uniform() * min(?BACKOFF_MAX_MS, ?BACKOFF_MIN_MS * (1 bsl min(Failures, 12)))).

again(RetryAfter, #{failures := Failures} = State) ->
    Wait = case RetryAfter of none -> backoff(Failures + 1); Ms -> min(Ms, 300000) + rand:uniform(1000) end,
    schedule(Wait, State#{failures := Failures + 1}).

%% States: a snapshot, then the stream.

load(Shared, Since, Pages, First) ->
    Path = io_lib:format("/v1/states?since=~b&limit=10000", [Since]),
    case request(Shared, get, Path, [], none, ?SEND_TIMEOUT_MS) of
        {ok, 200, _, Body} ->
            #{<<"states">> := States, <<"number">> := Number} = Page = misc:json_decode(Body),
            Start = case First of none -> Number; _ -> First end,
            case maps:get(<<"next">>, Page, null) of
                Next when is_integer(Next) -> load(Shared, Next, [States | Pages], Start);
                _ -> {snapshot, Start, lists:append(lists:reverse([States | Pages]))}
            end;
        _ -> snapshot_failed
    end.

take_state(#{<<"account">> := Account, <<"outcome">> := Name} = Sent, #{shared := #{states := States, options := Options}, number := Newest} = State) ->
    Number = maps:get(<<"number">>, Sent, 0),
    Outcome = outcome(Name),
    {KnownNumber, Before} = case ets:lookup(States, Account) of
                                [{_, N, #{outcome := O}}] -> {N, O};
                                [] -> {-1, allow}
                            end,
    case Number < KnownNumber of
        true -> State;
        false ->
            Kept = #{account => Account, outcome => Outcome, number => Number, until_ms => maps:get(<<"until_ms">>, Sent, null),
                     notify_at_ms => maps:get(<<"notify_at_ms">>, Sent, null)},
            case Outcome of
                allow -> ets:delete(States, Account);
                _ -> ets:insert(States, {Account, Number, Kept})
            end,
            [(maps:get(on_state, Options))(Kept) || Before =/= Outcome],
            State#{number := max(Newest, Number)}
    end;
take_state(_, State) -> State.

%% Generated by `python clients/generate_events.py`:
outcome(<<"allow">>) -> allow;
outcome(<<"observe">>) -> observe;
outcome(<<"request">>) -> request;
outcome(<<"challenge">>) -> limit;
outcome(<<"limit">>) -> limit;
outcome(<<"restrict">>) -> restrict;
outcome(<<"suspend">>) -> suspend;
outcome(<<"ban">>) -> ban;
outcome(_) -> observe.
%% End of what is generated.

snapshot(First, Sent, #{shared := #{states := States, options := Options, numbers := Numbers}} = State) ->
    Seen = maps:from_list([{Account, true} || #{<<"account">> := Account} <- Sent]),
    Next = lists:foldl(fun take_state/2, State, Sent),
    [begin
         ets:delete(States, Account),
         (maps:get(on_state, Options))(#{account => Account, outcome => allow, number => First})
     end || {Account, Number, _} <- ets:tab2list(States), not is_map_key(Account, Seen), Number =< First],
    atomics:put(Numbers, ?LOADED, 1),
    atomics:put(Numbers, ?HEARD, clock()),
    (maps:get(on_states_loaded, Options))(),
    Next#{number := max(First, maps:get(number, Next))}.

open_stream(#{shared := Shared, number := Number} = State) ->
    Url = url(Shared, io_lib:format("/v1/states/stream?since=~b", [Number])),
    Headers = lists:keyreplace("accept", 1, authorization(Shared, []), {"accept", "text/event-stream"}),
    {ok, Ref} = httpc:request(get, {Url, Headers}, [{connect_timeout, ?SEND_TIMEOUT_MS}, {timeout, infinity}, {autoredirect, false} | tls(Url)],
                              [{sync, false}, {stream, self}, {body_format, binary}], mod_wavebreak_stream),
    State#{stream := Ref, buffer := <<>>, streaming := false, opened => clock()}.

heard(Data, #{buffer := Buffer, shared := #{numbers := Numbers}} = State) ->
    atomics:put(Numbers, ?HEARD, clock()),
    Text = binary:replace(<<Buffer/binary, Data/binary>>, <<"\r\n">>, <<"\n">>, [global]),
    Blocks = binary:split(Text, <<"\n\n">>, [global]),
    Next = lists:foldl(fun sse_block/2, State, lists:droplast(Blocks)),
    Next#{buffer := lists:last(Blocks)}.

sse_block(Block, State) ->
    Lines = binary:split(Block, <<"\n">>, [global]),
    Field = fun(Name) -> [string:trim(Value, leading, " ") || Line <- Lines, [N, Value] <- [binary:split(Line, <<":">>)], N =:= Name] end,
    case Field(<<"event">>) of
        [<<"state">>] ->
            try misc:json_decode(iolist_to_binary(lists:join("\n", Field(<<"data">>)))) of
                Sent -> take_state(Sent, State)
            catch error:_ -> State
            end;
        _ -> State
    end.

stream_ended(Code, #{streaming := Streamed, stream_failures := Failures} = State) ->
    Next = State#{stream := none, streaming := false, stream_failures := case Streamed of true -> 0; false -> Failures + 1 end},
    Unknown = lists:member(Code, [404, 405, 406, 501]),
    {Wait, What} = case Code of
                       %% A service without the stream is asked again and again.
                       _ when Unknown -> {?POLL_MS, follow};
                       0 when Failures =< 3 -> {backoff(Failures), stream};
                       _ -> {max(1000, backoff(Failures)), follow}
                   end,
    erlang:send_after(round(Wait), self(), What),
    Next.

handle_call(status, _From, #{streaming := Streaming} = State) -> {reply, {held(State), Streaming}, State};
handle_call(_, _From, State) -> {reply, unknown, State}.

handle_cast({tell, Event}, State) ->
    Line = iolist_to_binary([misc:json_encode(Event), $\n]),
    {noreply, schedule(?BATCH_MS, keep(Line, State))};
handle_cast({options, _}, #{host := Host} = State) -> {noreply, State#{shared := shared(Host)}};
handle_cast(_, State) -> {noreply, State}.

handle_info(send, State) -> {noreply, send(State#{timer := none})};
handle_info({sent, Pid, Result}, #{in_flight := {Pid, Monitor, Batch}} = State) ->
    erlang:demonitor(Monitor, [flush]),
    {noreply, result(Batch, Result, State#{in_flight := none})};
handle_info({'DOWN', Monitor, process, _, Reason}, #{in_flight := {_, Monitor, Batch}} = State) ->
    {noreply, result(Batch, {error, Reason}, State#{in_flight := none})};
handle_info(follow, #{shared := Shared} = State) ->
    Self = self(),
    spawn(fun() -> Self ! try load(Shared, 0, [], none) catch _:_ -> snapshot_failed end end),
    {noreply, State};
handle_info({snapshot, First, Sent}, State) -> {noreply, open_stream(snapshot(First, Sent, State#{stream_failures := 0}))};
handle_info(snapshot_failed, #{stream_failures := Failures} = State) ->
    erlang:send_after(round(backoff(Failures)), self(), follow),
    {noreply, State#{stream_failures := Failures + 1}};
handle_info(stream, State) -> {noreply, open_stream(State)};
handle_info({http, {Ref, stream_start, _}}, #{stream := Ref, shared := #{numbers := Numbers}} = State) ->
    atomics:put(Numbers, ?HEARD, clock()),
    {noreply, State#{streaming := true}};
handle_info({http, {Ref, stream, Data}}, #{stream := Ref} = State) -> {noreply, heard(Data, State)};
handle_info({http, {Ref, stream_end, _}}, #{stream := Ref} = State) -> {noreply, stream_ended(0, State)};
handle_info({http, {Ref, {error, _}}}, #{stream := Ref} = State) -> {noreply, stream_ended(0, State)};
handle_info({http, {Ref, {{_, Code, _}, _, _}}}, #{stream := Ref} = State) -> {noreply, stream_ended(Code, State)};
handle_info(watch, #{stream := Ref, shared := #{numbers := Numbers}} = State) ->
    erlang:send_after(5000, self(), watch),
    Quiet = clock() - max(atomics:get(Numbers, ?HEARD), maps:get(opened, State, 0)),
    case Ref =/= none andalso Quiet > ?QUIET_MS of
        true ->
            ok = httpc:cancel_request(Ref, mod_wavebreak_stream),
            {noreply, stream_ended(0, State)};
        false -> {noreply, State}
    end;
handle_info(declare, #{host := Host, shared := #{options := #{source := Source}} = Shared} = State) ->
    Self = self(),
    spawn(fun() ->
        case request(Shared, put, "/v1/sources/self", [], {"application/json", misc:json_encode(Source)}, ?SEND_TIMEOUT_MS) of
            {ok, Code, _, _} when Code >= 200, Code < 300 -> ok;
            {ok, 409, _, _} ->
                ?WARNING_MSG("Wavebreak does not take what this server carries (409): make the key with --source NAME", []);
            {ok, Code, _, Body} when Code >= 400, Code < 500, Code =/= 429 ->
                case is_foreign(Code, Body) of
                    true ->
                        foreign(Host, Code),
                        erlang:send_after(60000, Self, declare);
                    false ->
                        ?WARNING_MSG("Wavebreak does not take what this server carries (~b): see that it is as new as this module", [Code])
                end;
            _ -> erlang:send_after(5000 + rand:uniform(10000), Self, declare)
        end
    end),
    {noreply, State};
handle_info(_, State) -> {noreply, State}.

terminate(_Reason, #{stream := Ref} = State) ->
    [httpc:cancel_request(Ref, mod_wavebreak_stream) || Ref =/= none],
    #{pending := Batches} = close_batch(State),
    %% The disk may have room again.
    [file:write_file(Path, lists:reverse(Memory), [append]) || #{path := Path, memory := [_ | _] = Memory} <- Batches],
    ok.

code_change(_, State, _) -> {ok, State}.
