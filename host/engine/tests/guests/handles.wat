;; A component with a resource of its own, of which it makes many.
(component
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core func $drop (canon resource.drop $thing))
  (core module $m
    (import "host" "new" (func $new (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func (export "make-handles") (loop $again (drop (call $new (i32.const 0))) (br $again)))
    ;; Many, but never more than one at a time.
    (func (export "make-and-drop")
      (local $left i32)
      (local.set $left (i32.const 20000))
      (loop $again
        (call $drop (call $new (i32.const 0)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
  (core instance $host (export "new" (func $new)) (export "drop" (func $drop)))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  (func (export "make-handles") (canon lift (core func $i "make-handles")))
  (func (export "make-and-drop") (canon lift (core func $i "make-and-drop"))))
