;; The end of a chain of components: it calls nobody, and gives back its argument plus OFFSET, having done WORK. Tests replace
;; the words in capitals.
(component
  (core module $m
    (func (export "go") (param $n i32) (result i32)
      (local $left i32)
      WORK
      (i32.add (local.get $n) (i32.const OFFSET))))
  (core instance $i (instantiate $m))
  (func $f (param "n" u32) (result u32) (canon lift (core func $i "go")))
  (instance $links (export "go" (func $f)))
  (export "test:NAME/links@1.0.0" (instance $links)))
