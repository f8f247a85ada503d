package rikki

import "reflect"

// cloneStruct returns a pointer to a copy of the struct that ptr points to.
// Slices, maps and pointers in exported fields are copied too, since those
// are parameters, which parallel runs must not share.
func cloneStruct(ptr any) any {
	src := reflect.ValueOf(ptr).Elem()
	dst := reflect.New(src.Type())
	dst.Elem().Set(src)
	cloneFields(dst.Elem())
	return dst.Interface()
}

func cloneFields(v reflect.Value) {
	for _, field := range v.Fields() {
		if field.CanSet() {
			field.Set(cloneValue(field))
		}
	}
}

func cloneValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		dst := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			dst.Index(i).Set(cloneValue(v.Index(i)))
		}
		return dst
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		dst := reflect.MakeMapWithSize(v.Type(), v.Len())
		for iter := v.MapRange(); iter.Next(); {
			dst.SetMapIndex(iter.Key(), cloneValue(iter.Value()))
		}
		return dst
	case reflect.Pointer:
		if v.IsNil() || !isPlain(v.Elem().Kind()) {
			return v // a pointer to a struct is a service the author injected
		}
		dst := reflect.New(v.Elem().Type())
		dst.Elem().Set(v.Elem())
		return dst
	default:
		return v
	}
}

func isPlain(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Complex128 || k == reflect.String
}
