;; Hides a number in every place that it has, and looks for a number in all of them.
(component
  (core module $canary
    (memory 16)
    (table $table 64 funcref)
    (global $hidden (mut i64) (i64.const 0))
    (func $marker)
    (elem declare func $marker)

    (func (export "hide") (param $what i64) (local $at i32)
      (global.set $hidden (local.get $what))
      (table.set $table (i32.const 63) (ref.func $marker))
      (loop $next
        (i64.store (local.get $at) (local.get $what))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 1048576)))))

    ;; How many places hold it; a table element that was set counts as well.
    (func (export "find") (param $what i64) (result i32) (local $at i32) (local $found i32)
      (local.set $found (i32.add
        (i64.eq (global.get $hidden) (local.get $what))
        (i32.eqz (ref.is_null (table.get $table (i32.const 63))))))
      (loop $next
        (if (i64.eq (i64.load (local.get $at)) (local.get $what))
          (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 1048576))))
      (local.get $found)))
  (core instance $i (instantiate $canary))
  (func (export "hide") (param "what" u64) (canon lift (core func $i "hide")))
  (func (export "find") (param "what" u64) (result u32) (canon lift (core func $i "find"))))
