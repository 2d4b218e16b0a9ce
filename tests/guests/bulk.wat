;; A component that takes and gives as much as it is told to.
(component
  (core module $bulk
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func $room (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (i32.add (local.get 3) (i32.const 8))))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))))
      (local.get $at))
    ;; How many bytes there are.
    (func (export "take") (param i32 i32) (result i32) (local.get 1))
    ;; A string of so many bytes.
    (func (export "give") (param i32) (result i32)
      (local $at i32)
      (local.set $at (call $room (i32.const 0) (i32.const 0) (i32.const 1) (local.get 0)))
      (memory.fill (local.get $at) (i32.const 120) (local.get 0))
      (i32.store (i32.const 16) (local.get $at))
      (i32.store (i32.const 20) (local.get 0))
      (i32.const 16)))
  (core instance $i (instantiate $bulk))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "take") (param "bytes" (list u8)) (result u32)
    (canon lift (core func $i "take") (memory $memory) (realloc $realloc)))
  (func (export "give") (param "length" u32) (result string)
    (canon lift (core func $i "give") (memory $memory))))
