;; A component whose every function does harm of one kind, and one that does none.
(component
  (import "wasi:io/poll@0.2.6" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))

  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))

  (core module $harm
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "new" (func $new (param i32) (result i32)))
    (memory (export "memory") 1)
    (table $table 1 funcref)
    (global $next (mut i32) (i32.const 1024))

    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "spin") (loop $again (br $again)))
    (func (export "eat-memory")
      (loop $again (drop (memory.grow (i32.const 16))) (br $again)))
    (func (export "eat-table")
      (loop $again (drop (table.grow $table (ref.null func) (i32.const 1000))) (br $again)))
    (func (export "make-handles") (loop $again (drop (call $new (i32.const 0))) (br $again)))
    (func (export "take-handles") (loop $again (drop (call $subscribe (i64.const 1))) (br $again)))
    (func $recurse (export "recurse") (call $recurse))
    (func $inner-failure unreachable)
    (func $outer-failure (export "trap") (call $inner-failure))
    ;; A string of 16 MiB.
    (func (export "giant") (result i32)
      (if (i32.eq (memory.grow (i32.const 272)) (i32.const -1)) (then unreachable))
      (memory.fill (i32.const 65536) (i32.const 120) (i32.const 16777216))
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (i32.const 16777216))
      (i32.const 16))
    ;; Sleeps for as many milliseconds.
    (func (export "sleep") (param i64)
      (call $block (call $subscribe (i64.mul (local.get 0) (i64.const 1000000)))))
    ;; Takes a list and forgets it.
    (func (export "take") (param i32 i32))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (i32.add (local.get 3) (i32.const 8))))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))))
      (local.get $at)))

  (core instance $host
    (export "subscribe" (func $subscribe))
    (export "block" (func $block))
    (export "new" (func $new)))
  (core instance $i (instantiate $harm (with "host" (instance $host))))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))

  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "eat-memory") (canon lift (core func $i "eat-memory")))
  (func (export "eat-table") (canon lift (core func $i "eat-table")))
  (func (export "make-handles") (canon lift (core func $i "make-handles")))
  (func (export "take-handles") (canon lift (core func $i "take-handles")))
  (func (export "recurse") (canon lift (core func $i "recurse")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "giant") (result string) (canon lift (core func $i "giant") (memory $memory)))
  (func (export "sleep") (param "milliseconds" u64) (canon lift (core func $i "sleep")))
  (func (export "take") (param "items" (list u64)) (canon lift (core func $i "take") (memory $memory) (realloc $realloc))))
