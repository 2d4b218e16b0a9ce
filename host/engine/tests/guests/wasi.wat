;; Uses the interfaces of WASI and of logging in ways that cost the host something. VERSION is the version of WASI.
(component
  (import "wasi:io/error@VERSION" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-resource))
  (import "wasi:io/poll@VERSION" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@VERSION" (instance $streams
    (alias outer 1 $error-resource (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "output-stream" (type $output (sub resource)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@VERSION" (instance $stdout
    (alias outer 1 $output (type $outer))
    (export "output-stream" (type $o (eq $outer)))
    (export "get-stdout" (func (result (own $o))))))
  (import "wasi:cli/exit@VERSION" (instance $exit (export "exit" (func (param "status" (result))))))
  (import "wasi:clocks/monotonic-clock@VERSION" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (import "wasi:random/random@VERSION" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:logging/logging@0.1.0-draft" (instance $logging
    (type $levels (enum "trace" "debug" "info" "warn" "error" "critical"))
    (export "level" (type $level (eq $levels)))
    (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))

  (core module $allocator
    (memory (export "memory") 1)
    ;; What the host hands over is written over the last of it: nothing here reads it.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (if (i32.gt_u (i32.add (local.get 3) (i32.const 32768)) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))))
      (i32.const 32768)))
  (core instance $allocator (instantiate $allocator))
  (alias core export $allocator "memory" (core memory $memory))
  (alias core export $allocator "realloc" (core func $realloc))

  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $logging "log") (memory $memory)))
  (core func $exit (canon lower (func $exit "exit")))

  (core module $m
    (import "memory" "memory" (memory 1))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "host" "exit" (func $exit (param i32)))
    (data (i32.const 256) "a context")
    (data (i32.const 512) "a line that is written\n")

    (func (export "sleep") (param i64)
      (call $block (call $subscribe (i64.mul (local.get 0) (i64.const 1000000)))))
    (func (export "take-handles") (loop $again (drop (call $subscribe (i64.const 1))) (br $again)))
    (func (export "print") (call $write (call $get-stdout) (i32.const 512) (i32.const 23) (i32.const 16)))
    (func $flood (export "flood") (param i32)
      (local $out i32)
      (local.set $out (call $get-stdout))
      (loop $again
        (call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 16))
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $again (local.get 0))))
    (func (export "flood-forever") (loop $again (call $flood (i32.const 1000)) (br $again)))
    (func (export "say") (call $log (i32.const 3) (i32.const 256) (i32.const 9) (i32.const 512) (i32.const 22)))
    (func (export "say-too-much")
      (drop (memory.grow (i32.const 256)))
      (call $log (i32.const 3) (i32.const 256) (i32.const 9) (i32.const 65536) (i32.const 16777216)))
    (func (export "roll") (param i64) (call $bytes (local.get 0) (i32.const 16)))
    (func (export "roll-forever") (loop $again (call $bytes (i64.const 16384) (i32.const 16)) (br $again)))
    (func $leave (export "leave") (call $exit (i32.const 1))))
  (core instance $i (instantiate $m
    (with "memory" (instance $allocator))
    (with "host" (instance
      (export "subscribe" (func $subscribe))
      (export "block" (func $block))
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "bytes" (func $bytes))
      (export "log" (func $log))
      (export "exit" (func $exit))))))

  (func (export "sleep") (param "milliseconds" u64) (canon lift (core func $i "sleep")))
  (func (export "take-handles") (canon lift (core func $i "take-handles")))
  (func (export "print") (canon lift (core func $i "print")))
  (func (export "flood") (param "times" u32) (canon lift (core func $i "flood")))
  (func (export "flood-forever") (canon lift (core func $i "flood-forever")))
  (func (export "say") (canon lift (core func $i "say")))
  (func (export "say-too-much") (canon lift (core func $i "say-too-much")))
  (func (export "roll") (param "bytes" u64) (canon lift (core func $i "roll")))
  (func (export "roll-forever") (canon lift (core func $i "roll-forever")))
  (func (export "leave") (canon lift (core func $i "leave"))))
