;; Calls two components in turn, each as often as its argument says, and gives back the sum of their last answers.
(component
  (import "test:left/links@1.0.0" (instance $left (export "go" (func (param "n" u32) (result u32)))))
  (import "test:right/links@1.0.0" (instance $right (export "go" (func (param "n" u32) (result u32)))))
  (core func $go-left (canon lower (func $left "go")))
  (core func $go-right (canon lower (func $right "go")))
  (core module $m
    (import "next" "left" (func $left (param i32) (result i32)))
    (import "next" "right" (func $right (param i32) (result i32)))
    (func (export "go") (param $times i32) (result i32)
      (local $answer i32)
      (loop $again
        (local.set $answer (i32.add (call $left (i32.const 0)) (call $right (i32.const 0))))
        (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
      (local.get $answer)))
  (core instance $i (instantiate $m
    (with "next" (instance (export "left" (func $go-left)) (export "right" (func $go-right))))))
  (func $f (param "n" u32) (result u32) (canon lift (core func $i "go")))
  (instance $links (export "go" (func $f)))
  (export "test:fork/links@1.0.0" (instance $links)))
