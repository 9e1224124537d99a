#!/usr/bin/env escript
main(_) -> io:format("~s~n", [erlang:system_info(otp_release)]),
  Self = self(), [spawn(fun() -> Self ! {I, I*I} end) || I <- lists:seq(1,100)],
  L = [receive {I, X} -> X end || I <- lists:seq(1,100)], io:format("~p~n", [lists:sum(L)]),
  io:format("~s~n", [os:cmd("echo port")]), timer:sleep(10), io:format("~p~n", [filelib:is_dir("/usr")]).
