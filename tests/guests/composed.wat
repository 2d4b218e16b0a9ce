;; Two components in one, composed beforehand as `wac plug` does: the outer one calls the inner one, and adds 2 to its answer.
(component
  (component $inner
    (core module $m (func (export "go") (param i32) (result i32) (i32.add (local.get 0) (i32.const 40))))
    (core instance $i (instantiate $m))
    (func $f (param "n" u32) (result u32) (canon lift (core func $i "go")))
    (instance $links (export "go" (func $f)))
    (export "test:inner/links@1.0.0" (instance $links)))
  (component $outer
    (import "test:inner/links@1.0.0" (instance $next (export "go" (func (param "n" u32) (result u32)))))
    (core func $go (canon lower (func $next "go")))
    (core module $m
      (import "next" "go" (func $next (param i32) (result i32)))
      (func (export "go") (param i32) (result i32) (i32.add (call $next (local.get 0)) (i32.const 2))))
    (core instance $i (instantiate $m (with "next" (instance (export "go" (func $go))))))
    (func $f (param "n" u32) (result u32) (canon lift (core func $i "go")))
    (instance $links (export "go" (func $f)))
    (export "test:composed/links@1.0.0" (instance $links)))
  (instance $a (instantiate $inner))
  (alias export $a "test:inner/links@1.0.0" (instance $inner-links))
  (instance $b (instantiate $outer (with "test:inner/links@1.0.0" (instance $inner-links))))
  (alias export $b "test:composed/links@1.0.0" (instance $links))
  (export "test:composed/links@1.0.0" (instance $links)))
