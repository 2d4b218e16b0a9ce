;; A component that another one may call, and that calls the next one: TIMES times, with its argument plus one. It gives back
;; the last answer. Tests replace the words in capitals to make links of a chain.
(component
  (import "test:NEXT/links@1.0.0" (instance $next (export "go" (func (param "n" u32) (result u32)))))
  (core func $go (canon lower (func $next "go")))
  (core module $m
    (import "next" "go" (func $next (param i32) (result i32)))
    (func (export "go") (param $n i32) (result i32)
      (local $left i32) (local $answer i32)
      (local.set $left (i32.const TIMES))
      (loop $again
        (local.set $answer (call $next (i32.add (local.get $n) (i32.const 1))))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (local.get $answer)))
  (core instance $i (instantiate $m (with "next" (instance (export "go" (func $go))))))
  (func $f (param "n" u32) (result u32) (canon lift (core func $i "go")))
  (instance $links (export "go" (func $f)))
  (export "test:NAME/links@1.0.0" (instance $links)))
